import { describe, expect, test } from 'vitest'
import { clientAddress } from '#host/client-address.js'
import { codeOf } from '#test/fakes/code-of.js'

describe('the address that a request counts for', () => {
  test('is the peer’s, whatever it says of itself', () => {
    expect(clientAddress([])('198.51.100.9', '1.2.3.4')).toBe('198.51.100.9')
    expect(clientAddress(['10.0.0.0/24'])('198.51.100.9', '1.2.3.4')).toBe('198.51.100.9')
    expect(clientAddress(['10.0.0.7'])('10.0.0.8', '1.2.3.4')).toBe('10.0.0.8')
  })

  test('is what a trusted proxy says, and not what strangers wrote before it', () => {
    const of = clientAddress(['10.0.0.0/24', '2001:db8:1::/48'])
    expect(of('10.0.0.7', '198.51.100.9')).toBe('198.51.100.9')
    expect(of('::ffff:10.0.0.7', '198.51.100.9')).toBe('198.51.100.9')
    expect(of('10.0.0.7', '1.1.1.1, 198.51.100.9, 10.0.0.3')).toBe('198.51.100.9')
    expect(of('2001:db8:1::5', '10.0.0.1, 2001:db8:2::9')).toBe('2001:db8:2::9')
    expect(of('10.0.0.7', undefined)).toBe('10.0.0.7')
    for (const wrong of ['', 'unknown', '1.1.1.1, secret', '198.51.100.9:1234', ','])
      expect(of('10.0.0.7', wrong)).toBe('10.0.0.7')
    expect(of('10.0.0.7', Array(100).fill('10.0.0.3').join(','))).toBe('10.0.0.7')
  })

  test('is said by proxies of the operator, never by everybody', () => {
    for (const all of ['0.0.0.0/0', '::/0', '128.0.0.0/1', '2000::/3'])
      expect([all, codeOf(() => clientAddress([all]))]).toEqual([all, 'proxy/everybody'])
    for (const wrong of ['', '*', 'proxy', '10.0.0.0/33', '10.0.0.0/24/1', '10.0.0.0/', '10.0.0/8', '10.0.0.0/08'])
      expect([wrong, codeOf(() => clientAddress([wrong]))]).toEqual([wrong, 'proxy/address'])
  })
})
