;; One table of a hundred million elements.
(module (table 100_000_000 funcref))
