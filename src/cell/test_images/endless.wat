;; A twin whose turns never end, each in a way of its own: the event's id says which.
(module
  (import "dromio" "now" (func $now (result i64)))
  (type $way (func))
  (type $node (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (table $ways 12 funcref)
  (elem (table $ways) (i32.const 0) func $empty $counts $nested $switch $carries $in_if $asks $tree $pair $through_table
    $fills $falls)
  (table $nodes 1 funcref)
  (elem (table $nodes) (i32.const 0) func $node_of_table)
  (func (export "dromio_abi_1"))
  (func (export "dromio_event_buffer") (result i32) (i32.const 1024))
  (func (export "dromio_event") (param $kind i32) (param $id i32) (param $length i32) (result i32)
    (if (i32.lt_u (local.get $id) (i32.const 12)) (then (call_indirect $ways (type $way) (local.get $id))))
    (i32.const 0))
  (func (export "dromio_export_state") (result i32) (call $empty) (i32.const 0))
  (func (export "dromio_import_state") (param $length i32) (call $counts))
  (func $empty (loop $again (br $again)))
  ;; 1: without a store or a call
  (func $counts (local $i i64)
    (loop $again (local.set $i (i64.add (local.get $i) (i64.const 3))) (br_if $again (i64.ne (local.get $i) (i64.const 1))) (br $again)))
  ;; 2: the inner one ends
  (func $nested (local $i i32)
    (loop $outer
      (local.set $i (i32.const 5))
      (loop $inner (br_if $inner (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (br $outer)))
  ;; 3: back by br_table
  (func $switch (local $i i32)
    (loop $a (loop $b (block $c
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_table $c $a $b (i32.rem_u (local.get $i) (i32.const 3))))
      (br $a))))
  ;; 4: values are carried into the loop
  (func $carries
    (i32.const 1) (i64.const 2)
    (loop $again (param i32 i64) (result i32)
      (drop) (i32.const 1) (i32.add) (i64.const 2) (br $again))
    (drop))
  (func $in_if
    (loop $again (if (i32.eqz (i32.load (i32.const 64))) (then (br $again)) (else (br $again)))))
  ;; 6: with a host call
  (func $asks (loop $again (drop (call $now)) (br $again)))
  ;; 7 to 9: no loop at all, and never deep; 2 to the power of 60 calls
  (func $tree (drop (call $node (i32.const 60))))
  (func $node (param $depth i32) (result i32)
    (if (i32.eqz (local.get $depth)) (then (return (i32.const 1))))
    (i32.add (call $node (i32.sub (local.get $depth) (i32.const 1))) (call $node (i32.sub (local.get $depth) (i32.const 1)))))
  (func $pair (drop (call $even (i32.const 60))))
  (func $even (param $depth i32) (result i32)
    (if (i32.eqz (local.get $depth)) (then (return (i32.const 1))))
    (i32.xor (call $odd (i32.sub (local.get $depth) (i32.const 1))) (call $odd (i32.sub (local.get $depth) (i32.const 1)))))
  (func $odd (param $depth i32) (result i32)
    (i32.add (call $even (i32.sub (local.get $depth) (i32.const 1))) (call $even (i32.sub (local.get $depth) (i32.const 1)))))
  (func $through_table (drop (call $node_of_table (i32.const 60))))
  (func $node_of_table (param $depth i32) (result i32)
    (if (i32.eqz (local.get $depth)) (then (return (i32.const 1))))
    (i32.add (call_indirect $nodes (type $node) (i32.sub (local.get $depth) (i32.const 1)) (i32.const 0))
             (call_indirect $nodes (type $node) (i32.sub (local.get $depth) (i32.const 1)) (i32.const 0))))
  ;; 10: bulk operations
  (func $fills (loop $again (memory.fill (i32.const 4096) (i32.const 1) (i32.const 60000)) (br $again)))
  ;; 11: dead code in between, and a loop that is left and entered again
  (func $falls
    (loop $again (block $out (loop $never (br $out) (unreachable) (br $never))) (br $again))))
