import type { TdxCode } from '#attest/tdx/codes.js'
import { registerCount, runtimeEvent } from '#attest/tdx/layout.js'
import { concat, equal, fromHex, utf8 } from '#core/bytes/bytes.js'
import { sha384 } from '#core/crypto/hash.js'
import { parseJson } from '#core/encoding/json.js'
import { integer, list, object, type Shaped, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'

/** One event of a runtime log. `name` and `payload` are null and empty where its digest does not cover them. */
export interface RuntimeEvent {
  readonly register: number
  readonly digest: Uint8Array
  readonly name: string | null
  /** lowercase hex */
  readonly payload: string
}

const eventShape = object({
  imr: integer({ max: registerCount - 1 }),
  event_type: integer({ max: 0xffff_ffff }),
  digest: string({ max: 96, form: /^([0-9a-f]{96})?$/ }),
  event: string({ max: 1000 }),
  event_payload: string({ max: 128 * 1024, form: /^([0-9a-f]{2})*$/ }),
})
const logShape = list(eventShape, { max: runtimeEvent.eventsMax })

function refuse(message: string, cause?: unknown): Failure<TdxCode> {
  return new Failure<TdxCode>('tdx/event-log-form', message, { cause })
}

/**
 * The events of a runtime log, in order: a JSON array of {imr, event_type, digest, event, event_payload}. The digest of
 * a runtime event is computed from its name and payload whether the log gives it or not.
 *
 * throws  tdx/event-log-form
 */
export function parseRuntimeLog(log: Uint8Array): readonly RuntimeEvent[] {
  try {
    return logShape(parseJson(log), 'eventLog').map(toEvent)
  } catch (error) {
    if (!isFailure(error) || error.code.startsWith('tdx/')) throw error
    throw refuse(`event log cannot be read: ${error.message}`, error)
  }
}

function toEvent(one: Shaped<typeof eventShape>, i: number): RuntimeEvent {
  const given = fromHex(one.digest)
  if (one.event_type !== runtimeEvent.type) {
    if (given.length === 0) throw refuse(`event ${i} has no digest`)
    return { register: one.imr, digest: given, name: null, payload: '' }
  }
  if (one.imr !== runtimeEvent.register)
    throw refuse(`event ${i} is a runtime event of RTMR${one.imr}, expected RTMR${runtimeEvent.register}`)
  const digest = runtimeDigest(one.event, fromHex(one.event_payload))
  if (given.length > 0 && !equal(given, digest))
    throw refuse(`digest of event ${i} is not that of its name and payload`)
  return { register: one.imr, digest, name: one.event, payload: one.event_payload }
}

/** SHA-384 of the event type as a little-endian number, the name and the payload, with colons between them. */
export function runtimeDigest(name: string, payload: Uint8Array): Uint8Array {
  const type = new Uint8Array(4)
  new DataView(type.buffer).setUint32(0, runtimeEvent.type, true)
  return sha384(concat(type, utf8(`:${name}:`), payload))
}
