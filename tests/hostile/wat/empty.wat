;; Nothing; ten thousand instances of it are something.
(module)
