;; A twin that writes its table, keeps state in globals and drops a data segment.
(module
  (import "dromio" "property_set_integer" (func $set (param i32 i64 i32)))
  (type $answer (func (result i32)))
  (memory (export "memory") 1)
  (table 4 funcref)
  (elem (i32.const 0) $one $two)
  (elem declare func $one)
  (data $greeting "hello")
  (global $count (mut i64) (i64.const 5))
  (global $ratio (mut f64) (f64.const 0.5))
  (func $one (result i32) (i32.const 1))
  (func $two (result i32) (i32.const 2))
  (func (export "dromio_abi_1"))
  (func (export "dromio_event_buffer") (result i32) (i32.const 1024))
  (func (export "dromio_event") (param $kind i32) (param $id i32) (param $length i32) (result i32)
    ;; 0: counts in globals
    (if (i32.eq (local.get $id) (i32.const 0)) (then
      (global.set $count (i64.add (global.get $count) (i64.const 1)))
      (global.set $ratio (f64.mul (global.get $ratio) (f64.const 2)))
      (call $set (i32.const 1) (i64.add (global.get $count) (i64.trunc_sat_f64_s (global.get $ratio))) (i32.const 0))))
    ;; 1: leaves the table changed
    (if (i32.eq (local.get $id) (i32.const 1)) (then
      (table.set 0 (i32.const 1) (ref.func $one))))
    ;; 2: changes it and puts it back
    (if (i32.eq (local.get $id) (i32.const 2)) (then
      (table.set 0 (i32.const 1) (ref.null func))
      (table.copy 0 0 (i32.const 1) (i32.const 0) (i32.const 1))
      (call $set (i32.const 1) (i64.extend_i32_u (call_indirect (type $answer) (i32.const 1))) (i32.const 0))
      (table.init 0 0 (i32.const 1) (i32.const 0) (i32.const 0))
      (table.set 0 (i32.const 1) (ref.func $two))))
    ;; 3: uses a segment once, then drops it; works at each turn anew
    (if (i32.eq (local.get $id) (i32.const 3)) (then
      (memory.init $greeting (i32.const 512) (i32.const 0) (i32.const 5))
      (data.drop $greeting)
      (call $set (i32.const 1) (i64.extend_i32_u (i32.load8_u (i32.const 512))) (i32.const 0))))
    ;; 4: says what the table holds
    (if (i32.eq (local.get $id) (i32.const 4)) (then
      (call $set (i32.const 1) (i64.extend_i32_u (call_indirect (type $answer) (i32.const 1))) (i32.const 0))))
    (i32.const 0)))
