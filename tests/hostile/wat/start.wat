;; Never ends, before any call is made: a start function.
(module
  (func $spin (loop $again (br $again)))
  (start $spin))
