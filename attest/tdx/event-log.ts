import { type CcelEvent, parseCcel } from '#attest/tdx/ccel.js'
import type { TdxCode } from '#attest/tdx/codes.js'
import { registerCount, runtimeEvent } from '#attest/tdx/layout.js'
import type { TdReport } from '#attest/tdx/parse.js'
import { parseRuntimeLog, type RuntimeEvent } from '#attest/tdx/runtime-log.js'
import { concat, equal } from '#core/bytes/bytes.js'
import { sha384 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'

/** A log whose replay gave every register of a verified quote. */
export interface VerifiedEventLog {
  readonly format: 'ccel' | 'runtime'
  readonly count: number
  /** payloads, in hex, of what a guest's runtime says of its boot, each by its first occurrence before `system-ready` */
  readonly runtime: Readonly<Record<string, string>>
}

/**
 * Replays an event log. Only a log that gives all four registers is believed, and of it only what its digests cover:
 * data of firmware events may be mere hints, so none of it is read.
 *
 * log     a CCEL, or a JSON array of runtime events
 * throws  tdx/event-log-form, tdx/event-log-replay
 * source  TCG PC Client Platform Firmware Profile, "Event Logging"; Intel TDX Module, "TDG.MR.RTMR.EXTEND"
 */
export function verifyEventLog(log: Uint8Array, report: TdReport): VerifiedEventLog {
  const format = log[0] === 0x5b ? 'runtime' : 'ccel'
  const events: readonly (CcelEvent | RuntimeEvent)[] = format === 'runtime' ? parseRuntimeLog(log) : parseCcel(log)
  const registers = replay(events)
  for (const [i, wanted] of report.rtmrs.entries()) {
    if (!equal(registers[i]!, wanted))
      throw new Failure<TdxCode>('tdx/event-log-replay', `replay of the event log does not give RTMR${i} of the quote`)
  }
  return { format, count: events.length, runtime: runtimeEvents(events) }
}

/** The four registers after all events: each begins as zeros and becomes SHA-384(register || digest). */
export function replay(
  events: readonly { readonly register: number; readonly digest: Uint8Array }[],
): readonly Uint8Array[] {
  const registers: Uint8Array[] = Array.from({ length: registerCount }, () => new Uint8Array(48))
  for (const { register, digest } of events) registers[register] = sha384(concat(registers[register]!, digest))
  return registers
}

const bootNames: readonly string[] = runtimeEvent.bootNames

/** After `system-ready` the workload may add events of any name: they are not the boot's. */
function runtimeEvents(events: readonly (CcelEvent | RuntimeEvent)[]): Readonly<Record<string, string>> {
  const out = new Map<string, string>()
  for (const event of events) {
    if (!('name' in event) || event.name === null || event.register !== runtimeEvent.register) continue
    if (event.name === runtimeEvent.endOfBoot) break
    if (out.has(event.name) || !bootNames.includes(event.name)) continue
    if (event.payload.length > 2 * runtimeEvent.bootPayloadMax)
      throw new Failure<TdxCode>(
        'tdx/event-log-form',
        `payload of ${event.name} is beyond ${runtimeEvent.bootPayloadMax} bytes`,
      )
    out.set(event.name, event.payload)
  }
  return Object.fromEntries(out)
}
