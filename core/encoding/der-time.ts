import { type DerCode, type DerReader, derTag } from '#core/encoding/der.js'
import { Failure } from '#core/failure.js'
import { timeOf, type UnixSeconds } from '#core/time.js'

function refuse(message: string): Failure<DerCode> {
  return new Failure<DerCode>('der/value', message)
}

/**
 * Whole seconds since 1970 of the next UTCTime or GeneralizedTime.
 *
 * form    `profile`: UTCTime up to 2049, GeneralizedTime from 2050 on; `any`: either for any year
 * throws  der/value
 * source  RFC 5280, "UTCTime", "GeneralizedTime": Zulu, with seconds, without fractions; UTCTime up to 2049
 */
export function readDerTime(reader: DerReader, what: string, form: 'profile' | 'any' = 'profile'): UnixSeconds {
  const short = reader.tag === derTag.utcTime
  const time = reader.next(short ? derTag.utcTime : derTag.generalizedTime, what)
  // A CRL has one in every entry, so the digits are read where they stand.
  const from = short ? 2 : 4
  let wrong = time.size !== from + 11 || time.byte(from + 10) !== 0x5a
  const two = (at: number): number => {
    const [tens, ones] = [time.byte(at)! - 0x30, time.byte(at + 1)! - 0x30]
    if (!(tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9)) wrong = true
    return tens * 10 + ones
  }
  const head = two(0)
  const year = short ? (head < 50 ? 2000 : 1900) + head : head * 100 + two(2)
  const at = timeOf(year, two(from), two(from + 2), two(from + 4), two(from + 6), two(from + 8))
  if (wrong) throw refuse(`${what} is no time`)
  if (at === undefined) throw refuse(`${what} is no date`)
  if (!short && form === 'profile' && year < 2050) throw refuse(`${what} must be a UTCTime before 2050`)
  return at
}
