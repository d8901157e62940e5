;; Memories that are small each and too much together: 9 × 8 MiB.
(module
  (memory 128) (memory 128) (memory 128)
  (memory 128) (memory 128) (memory 128)
  (memory 128) (memory 128) (memory 128))
