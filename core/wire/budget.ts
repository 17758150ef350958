import { integer, object, type Shaped } from '#core/encoding/shape.js'

/**
 * The work that a lease pays for. Needs no clock (I15), and each number runs out by itself: of requests, a few may be
 * large; of bytes, a few may work for long.
 *
 * inputBytes  bodies of requests, as they were inside the seal
 * workUnits   what went through the model, in and out: bytes of tensors, or milliseconds of sound and tokens of text
 */
export const budgetShape = object({
  requests: integer({ min: 1 }),
  inputBytes: integer({ min: 1 }),
  workUnits: integer({ min: 1 }),
})
export type Budget = Shaped<typeof budgetShape>

/** What is left of a budget. */
export const budgetLeftShape = object({ requests: integer(), inputBytes: integer(), workUnits: integer() })
