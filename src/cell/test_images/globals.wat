;; A twin that keeps all its state in globals, one of each type.
(module
  (import "dromio" "property_set_integer" (func $set (param i32 i64 i32)))
  (memory (export "memory") 1)
  (global $word (mut i32) (i32.const 3))
  (global $long (mut i64) (i64.const 5))
  (global $single (mut f32) (f32.const 0.5))
  (global $double (mut f64) (f64.const 0.25))
  (func $mixed (param $seen i64) (param $bits i64) (result i64)
    (i64.mul (i64.xor (local.get $seen) (local.get $bits)) (i64.const 0x100000001b3)))
  (func (export "dromio_abi_1"))
  (func (export "dromio_event_buffer") (result i32) (i32.const 1024))
  (func (export "dromio_event") (param $kind i32) (param $id i32) (param $length i32) (result i32)
    ;; 0: says in a number what the globals hold
    (if (i32.eqz (local.get $id)) (then
      (call $set (i32.const 1)
        (call $mixed (call $mixed (call $mixed (call $mixed (i64.const 0)
          (i64.extend_i32_u (global.get $word))) (global.get $long))
          (i64.extend_i32_u (i32.reinterpret_f32 (global.get $single)))) (i64.reinterpret_f64 (global.get $double)))
        (i32.const 0))
      (return (i32.const 0))))
    ;; others put the event's 8 bytes into all of them; 1: well
    (global.set $word (i32.load (i32.const 1024)))
    (global.set $long (i64.load (i32.const 1024)))
    (global.set $single (f32.load (i32.const 1028)))
    (global.set $double (f64.load (i32.const 1024)))
    ;; 2: traps, 3: leaves its memory, 4: stays, 5: ends with no outcome there is
    (if (i32.eq (local.get $id) (i32.const 2)) (then (unreachable)))
    (if (i32.eq (local.get $id) (i32.const 3)) (then (i32.store (i32.const 0x7fffff00) (i32.const 1))))
    (if (i32.eq (local.get $id) (i32.const 4)) (then (loop $again (br $again))))
    (if (i32.eq (local.get $id) (i32.const 5)) (then (return (i32.const 3))))
    (i32.const 0)))
