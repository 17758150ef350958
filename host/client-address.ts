import { BlockList, isIP, isIPv4 } from 'node:net'
import { Failure } from '#core/failure.js'
import { networkOf } from '#host/network-of.js'

/** Failures of naming the proxies in front of a service. */
export type ProxyCode =
  /** not an address and not a network such as 10.0.0.0/8 */
  | 'proxy/address'
  /** so wide that anybody could be the proxy, and with that anybody else */
  | 'proxy/everybody'

/** The address that a request counts for: the peer's, or what a proxy that is trusted says about it. */
export type ClientAddress = (peer: string, forwardedFor: string | undefined) => string

const hopsMax = 20
/** Networks as large as the operator's own may be; a wider one is a mistake that lets strangers choose whom they count as. */
const prefixMin = { ipv4: 8, ipv6: 16 } as const

/**
 * Without proxies it is the peer. Of a trusted peer it is the last address in `X-Forwarded-For` that is no trusted proxy's: what
 * stands before that, strangers wrote. Where that is no address the peer counts.
 *
 * proxies  addresses and networks, as `10.0.0.7` or `10.0.0.0/24`
 * throws   proxy/address, proxy/everybody
 */
export function clientAddress(proxies: readonly string[]): ClientAddress {
  const trusted = new BlockList()
  for (const one of proxies) addProxy(trusted, one)
  const isTrusted = (address: string) => isIP(address) !== 0 && trusted.check(address, familyOf(address))
  return (peer, forwardedFor) => {
    const last = plain(peer)
    if (proxies.length === 0 || forwardedFor === undefined || !isTrusted(last)) return peer
    const hops = forwardedFor.split(',').slice(-hopsMax).reverse()
    for (const hop of hops) {
      const address = plain(hop.trim())
      if (isIP(address) === 0) return peer
      if (!isTrusted(address)) return address
    }
    return peer
  }
}

const familyOf = (address: string) => (isIPv4(address) ? 'ipv4' : 'ipv6')

/** An IPv4 address that is mapped into IPv6 is that IPv4 address. */
function plain(address: string): string {
  const network = networkOf(address)
  return isIPv4(network) ? network : address
}

function addProxy(trusted: BlockList, text: string): void {
  const [address = '', prefixText, more] = text.split('/')
  const family = isIP(address) === 0 ? null : familyOf(address)
  const isPrefix = prefixText === undefined || /^(0|[1-9][0-9]{0,2})$/.test(prefixText)
  const bits = family === 'ipv4' ? 32 : 128
  const prefix = prefixText === undefined ? bits : Number(prefixText)
  if (family === null || !isPrefix || more !== undefined || prefix > bits)
    throw new Failure<ProxyCode>('proxy/address', `${text} is no address and no network`, {
      detail: { hint: 'name the proxy as 10.0.0.7, or its network as 10.0.0.0/24' },
    })
  if (prefix < prefixMin[family])
    throw new Failure<ProxyCode>('proxy/everybody', `${text} would let strangers say whose requests theirs are`, {
      detail: { hint: 'name the addresses of your own proxies alone' },
    })
  trusted.addSubnet(address, prefix, family)
}
