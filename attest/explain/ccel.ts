import { type ExplainedField, type ExplainedPart, field } from '#attest/explain/part.js'
import { ccel } from '#attest/tdx/layout.js'
import { toHex } from '#core/bytes/bytes.js'
import { Reader } from '#core/bytes/reader.js'
import { sha256 } from '#core/crypto/hash.js'
import { isFailure } from '#core/failure.js'

/** source: TCG PC Client Platform Firmware Profile, revision 1.05, "Event Types" */
const eventTypes: Readonly<Record<number, string>> = {
  1: 'EV_POST_CODE',
  3: 'EV_NO_ACTION',
  4: 'EV_SEPARATOR',
  5: 'EV_ACTION',
  6: 'EV_EVENT_TAG',
  7: 'EV_S_CRTM_CONTENTS',
  8: 'EV_S_CRTM_VERSION',
  9: 'EV_CPU_MICROCODE',
  10: 'EV_PLATFORM_CONFIG_FLAGS',
  11: 'EV_TABLE_OF_DEVICES',
  12: 'EV_COMPACT_HASH',
  13: 'EV_IPL',
  14: 'EV_IPL_PARTITION_DATA',
  2147483649: 'EV_EFI_VARIABLE_DRIVER_CONFIG',
  2147483650: 'EV_EFI_VARIABLE_BOOT',
  2147483651: 'EV_EFI_BOOT_SERVICES_APPLICATION',
  2147483652: 'EV_EFI_BOOT_SERVICES_DRIVER',
  2147483653: 'EV_EFI_RUNTIME_SERVICES_DRIVER',
  2147483654: 'EV_EFI_GPT_EVENT',
  2147483655: 'EV_EFI_ACTION',
  2147483656: 'EV_EFI_PLATFORM_FIRMWARE_BLOB',
  2147483657: 'EV_EFI_HANDOFF_TABLES',
  2147483658: 'EV_EFI_PLATFORM_FIRMWARE_BLOB2',
  2147483659: 'EV_EFI_HANDOFF_TABLES2',
  2147483660: 'EV_EFI_VARIABLE_BOOT2',
  2147483872: 'EV_EFI_VARIABLE_AUTHORITY',
}
/** Algorithms of digests by their TPM_ALG_ID, with their size. source: TCG Algorithm Registry, revision 1.32 */
const digests: Readonly<Record<number, readonly [name: string, size: number]>> = {
  4: ['SHA-1', 20],
  11: ['SHA-256', 32],
  12: ['SHA-384', 48],
  13: ['SHA-512', 64],
}
const digestsMax = 8
const shownBytesMax = 64

const typeName = (type: number) => eventTypes[type] ?? `type 0x${type.toString(16)}`
/** source: UEFI 2.10, "CC event log": register 0 stands for MRTD, 1 to 4 for RTMR0 to RTMR3 */
const registerName = (index: number) => (index === 0 ? 'MRTD' : index <= 4 ? `RTMR${index - 1}` : `register ${index}`)

/** As text where it is ASCII, maybe with a zero behind it; else its first bytes. Nobody measured that the two are alike. */
function shownData(bytes: Uint8Array): string {
  const text = bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes
  const head = text.subarray(0, shownBytesMax)
  const isText = text.length > 0 && text.every((byte) => byte >= 0x20 && byte < 0x7f)
  const more = text.length > shownBytesMax ? '...' : ''
  return isText
    ? `${JSON.stringify(String.fromCharCode(...head))}${more}`
    : `${toHex(bytes.subarray(0, shownBytesMax))}${bytes.length > shownBytesMax ? '...' : ''}`
}

/** The events of a CCEL, as far as they can be read: a field each, at their place. */
export function explainCcel(bytes: Uint8Array): ExplainedPart {
  const whole = field('(whole)', `SHA-256 ${toHex(sha256(bytes))}`, 0, bytes.length)
  const fields: ExplainedField[] = []
  const reader = new Reader(bytes)
  try {
    fields.push(headerOf(reader))
    for (let i = 1; reader.left > 0; i++) {
      const filler = fillerOf(bytes, reader.at)
      if (filler !== null) {
        fields.push(filler)
        break
      }
      if (i > ccel.eventsMax) {
        fields.push(field('(more)', `only the first ${ccel.eventsMax} events are shown`))
        break
      }
      fields.push(eventOf(reader, i))
    }
  } catch (error) {
    if (!isFailure(error)) throw error
    fields.push(field('(cut off)', error.message))
  }
  return {
    title: 'CCEL',
    document: 'TCG PC Client Platform Firmware Profile, revision 1.05',
    fields: [...fields, whole],
  }
}

/** What fills the buffer behind the last event, once eight bytes of it begin; null where an event begins. */
function fillerOf(bytes: Uint8Array, at: number): ExplainedField | null {
  const fill = bytes[at]
  if ((fill !== 0 && fill !== 0xff) || bytes.subarray(at, at + 8).some((byte) => byte !== fill)) return null
  const rest = bytes.subarray(at)
  return rest.every((byte) => byte === fill)
    ? field('(filler)', `0x${toHex(rest.subarray(0, 1))}`, at, rest.length)
    : field('(not read)', 'the log goes on behind its filler', at, rest.length)
}

/** TCG_PCClientPCREvent: a SHA-1, and data that say which digests follow. */
function headerOf(reader: Reader): ExplainedField {
  const { at } = reader
  const [, type] = [reader.u32le(), reader.u32le()]
  reader.bytes(20)
  const data = reader.bytes(reader.u32le())
  return field(`[0] ${typeName(type)}`, shownData(data.subarray(0, 15)), at, reader.at - at)
}

/** TCG_PCR_EVENT2. An algorithm that is not known has no size that is: nothing behind it can be read. */
function eventOf(reader: Reader, index: number): ExplainedField {
  const { at } = reader
  const [register, type, count] = [reader.u32le(), reader.u32le(), reader.u32le()]
  const read: string[] = []
  for (let i = 0; i < Math.min(count, digestsMax); i++) {
    const id = reader.u16le()
    const known = digests[id]
    if (known === undefined)
      return field(`[${index}] (not read)`, `digest of algorithm 0x${id.toString(16)}`, at, skip(reader, at))
    read.push(`${known[0]} ${toHex(reader.bytes(known[1]))}`)
  }
  if (count > digestsMax) return field(`[${index}] (not read)`, `${count} digests`, at, skip(reader, at))
  const data = reader.bytes(reader.u32le())
  const value = `${read.join(', ')}; ${data.length} bytes: ${shownData(data)}`
  return field(`[${index}] ${registerName(register)} ${typeName(type)}`, value, at, reader.at - at)
}

function skip(reader: Reader, from: number): number {
  reader.bytes(reader.left)
  return reader.at - from
}
