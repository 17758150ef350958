import { hex, list, object, optional } from '#core/encoding/shape.js'
import { titleShape } from '#core/wire/names.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'

/** A runtime's file, as its reader gives it to `claviger init`. */
export const runtimeFileShape = object({
  title: titleShape,
  values: referenceValuesShape,
  /** SHA-256 of the roots of the simulated machines that these values are of; absent for hardware */
  simulatedRoots: optional(list(hex(32), { min: 1, max: 16 })),
})
