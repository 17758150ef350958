import { lookup as dnsLookup } from 'node:dns'
import { BlockList, isIP, isIPv6, type LookupFunction } from 'node:net'
import { networkOf } from '#host/network-of.js'

/** What is no address of the public internet. source: IANA IPv4 and IPv6 Special-Purpose Address Registries */
const special4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const
/** Of IPv6 only 2000::/3 is public; in it, these lead to an IPv4 address or to nowhere. */
const special6 = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const

const blocked = new BlockList()
for (const [net, prefix] of special4) blocked.addSubnet(net, prefix, 'ipv4')
for (const [net, prefix] of special6) blocked.addSubnet(net, prefix, 'ipv6')
const global6 = new BlockList()
global6.addSubnet('2000::', 3, 'ipv6')

/** Whether an address is one of the public internet: no loopback, no private network, no service of the machine's cloud. */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 0) return false
  if (!isIPv6(address)) return !blocked.check(address, 'ipv4')
  const inner = networkOf(address)
  if (isIP(inner) === 4) return !blocked.check(inner, 'ipv4')
  return global6.check(address, 'ipv6') && !blocked.check(address, 'ipv6')
}

/**
 * Looks a name up and answers public addresses alone. The connection is made to what this answers, so that a name that
 * changes in between leads nowhere else.
 */
export const lookupPublic: LookupFunction = (host, options, callback) => {
  dnsLookup(host, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, [])
    const found = addresses.filter(({ address }) => isPublicAddress(address))
    if (found.length === 0 || found.length < addresses.length)
      return callback(Object.assign(new Error(`${host} is no public name`), { code: 'ENOTPUBLIC' }), [])
    if (options.all) return callback(null, found)
    callback(null, found[0]!.address, found[0]!.family)
  })
}
