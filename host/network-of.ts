import { isIPv4, isIPv6 } from 'node:net'

/** The eight groups of an IPv6 address that `isIPv6` accepted, as numbers. */
function groupsOf(address: string): readonly number[] {
  const plain = address.split('%', 1)[0]!.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a, b, c, d] = parts.map(Number) as [number, number, number, number]
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  })
  const [left, right] = plain.split('::') as [string, string | undefined]
  const read = (text: string | undefined) =>
    text === undefined || text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const [before, after] = [read(left), read(right)]
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after]
}

/**
 * Who counts as one where requests are bounded by address: an IPv4 address, also one that is mapped into IPv6; of an IPv6
 * address its /64, since whoever has one address has all 2^64 of them. Anything else is itself.
 *
 * source  RFC 4291, "Text Representation of Addresses", "IPv4-Mapped IPv6 Address"; RFC 6177
 */
export function networkOf(address: string): string {
  if (isIPv4(address) || !isIPv6(address)) return address
  const groups = groupsOf(address)
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    const [high, low] = groups.slice(6) as [number, number]
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
  }
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':')}::/64`
}
