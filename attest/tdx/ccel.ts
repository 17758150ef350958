import type { TdxCode } from '#attest/tdx/codes.js'
import { ccel, registerCount } from '#attest/tdx/layout.js'
import { Reader } from '#core/bytes/reader.js'
import { Failure, isFailure } from '#core/failure.js'

/** One event that extended a register, 0 to 3. */
export interface CcelEvent {
  readonly register: number
  readonly digest: Uint8Array
}

function refuse(message: string, cause?: unknown): Failure<TdxCode> {
  return new Failure<TdxCode>('tdx/event-log-form', message, { cause })
}

/**
 * The events of a CCEL that extend a runtime register, in order. SHA-384 only, as the log's first event must say. The
 * buffer behind the last event is filled with 0xff or with zeros up to its end, and with nothing else.
 *
 * throws  tdx/event-log-form
 * source  TCG PC Client Platform Firmware Profile, "TCG_PCClientPCREvent", "TCG_PCR_EVENT2"; UEFI 2.10, "CC event log":
 *         register 0 stands for MRTD, 1 to 4 for RTMR0 to RTMR3
 */
export function parseCcel(log: Uint8Array): readonly CcelEvent[] {
  try {
    const reader = new Reader(log)
    readSpecId(reader)
    const events: CcelEvent[] = []
    for (let seen = 0; reader.left > 0 && !isFiller(log, reader.at); seen++) {
      if (seen === ccel.eventsMax) throw refuse(`event log has more than ${ccel.eventsMax} events`)
      const event = readEvent(reader)
      if (event) events.push(event)
    }
    return events
  } catch (error) {
    if (!isFailure(error) || !error.code.startsWith('bytes/')) throw error
    throw refuse(`event log is cut off: ${error.message}`, error)
  }
}

function readSpecId(reader: Reader): void {
  reader.u32le() // register: this event extends none
  if (reader.u32le() !== ccel.noAction) throw refuse('event log does not begin with an event of no action')
  if (reader.bytes(20).some((byte) => byte !== 0)) throw refuse('first event of the log has a digest')
  const data = new Reader(reader.bytes(reader.u32le()))
  const wanted = `${ccel.specId}\0`
  if (String.fromCharCode(...data.bytes(wanted.length)) !== wanted)
    throw refuse(`first event of the log is not ${ccel.specId}`)
  data.bytes(8) // platform class, version, errata, size of a UINTN
  if (data.u32le() !== 1 || data.u16le() !== ccel.sha384 || data.u16le() !== ccel.digestSize)
    throw refuse('event log has other digests than SHA-384')
  data.bytes(data.u8())
  data.end()
}

/** Null for an event of no action, and for one that goes to MRTD, which is measured before any log. */
function readEvent(reader: Reader): CcelEvent | null {
  const index = reader.u32le()
  const type = reader.u32le()
  if (reader.u32le() !== 1 || reader.u16le() !== ccel.sha384) throw refuse('event has other digests than one SHA-384')
  const digest = reader.bytes(ccel.digestSize)
  const size = reader.u32le()
  if (size > ccel.eventDataMax) throw refuse(`event has ${size} bytes of data, at most ${ccel.eventDataMax}`)
  reader.bytes(size)
  if (index > registerCount) throw refuse(`event is for register ${index}, expected 0 to ${registerCount}`)
  return index === 0 || type === ccel.noAction ? null : { register: index - 1, digest }
}

/** Whether the buffer holds nothing but filler from here on. No event begins with eight bytes alike of either kind. */
function isFiller(log: Uint8Array, at: number): boolean {
  const head = log.subarray(at, at + 8)
  const fill = head[0]
  if ((fill !== 0 && fill !== 0xff) || head.some((byte) => byte !== fill)) return false
  if (log.subarray(at).some((byte) => byte !== fill)) throw refuse('event log goes on after its filler')
  return true
}
