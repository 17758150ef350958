import { beforeAll, describe, expect, test } from 'vitest'
import { toBase64 } from '#core/bytes/bytes.js'
import { identityOfCertificate } from '#keybroker/access/certificate.js'
import { type Certified, type CertifiedOptions, certified, purposes } from '#test/fakes/machine-certificates.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { startTime as at } from '../fixtures.js'
import { type AccessBody, identity, list, newKey, twoTenants } from './fixtures.js'

const { open } = anyDatabase()
const dates = { notBefore: at - 3600, notAfter: at + 86_400 }
const usual = {
  ...dates,
  purposes: [purposes.client],
  names: [
    [0x82, 'node-7.acme.example'],
    [0x86, 'spiffe://acme/node/7'],
  ],
} as const
let root: Certified
let between: Certified
let stranger: Certified
let body: AccessBody
const leaf = (more: Partial<CertifiedOptions> = {}) => certified('node 7', { by: between, ...usual, ...more })
const who = async (...chain: readonly Certified[]) =>
  (
    await identityOfCertificate(
      chain.map(({ der }) => der),
      body,
      at,
    )
  )?.id ?? null

beforeAll(async () => {
  root = await certified('acme root', { isCa: true, ...dates })
  between = await certified('acme machines', { isCa: true, by: root, ...dates })
  stranger = await certified('acme root', { isCa: true, ...dates })
  const proof = (type: 'dns' | 'uri' | 'common-name', value: string) =>
    ({ kind: 'certificate', authority: 'acme', name: { type, value } }) as const
  body = list(
    [
      identity('by-uri', 'host', proof('uri', 'spiffe://acme/node/7')),
      identity('by-dns', 'auditor', proof('dns', 'node-8.acme.example')),
      identity('by-common-name', 'owner', proof('common-name', 'console')),
    ],
    { authorities: [{ name: 'acme', certificate: toBase64(root.der) }] },
  )
})

describe('a client certificate', () => {
  test('is whom it names, under the authority that the owner listed', async () => {
    expect(await who(await leaf(), between)).toBe('by-uri')
    expect(await who(await leaf(), between, root)).toBe('by-uri')
    expect(await who(await leaf({ names: [[0x82, 'node-8.acme.example']] }), between)).toBe('by-dns')
    expect(await who(await certified('console', { by: root, ...usual, names: [] }))).toBe('by-common-name')
  })

  test('of another authority, of the same name too, is nobody’s', async () => {
    expect(await who(await leaf({ by: stranger }))).toBe(null)
    expect(await who(await leaf({ by: stranger }), stranger)).toBe(null)
    expect(await who(await leaf())).toBe(null) // the one between is missing
    expect(await who(await certified('node 7', usual))).toBe(null) // it vouches for itself
    expect(await who(await leaf({ by: await leaf() }), await leaf(), between)).toBe(null)
  })

  test('that is over, not yet valid, or not for clients, is nobody’s', async () => {
    expect(await who(await leaf({ notAfter: at - 1 }), between)).toBe(null)
    expect(await who(await leaf({ notBefore: at + 60 }), between)).toBe(null)
    expect(await who(await leaf({ purposes: [purposes.server] }), between)).toBe(null)
    expect(await who(await certified('node 7', { by: between, ...dates, names: usual.names }), between)).toBe(null)
    expect(await who(await leaf({ purposes: ['2.5.29.37.0'] }), between)).toBe(null)
    expect(await who(between)).toBe(null)
    expect(await who(await leaf({ isCa: true }), between)).toBe(null)
    const over = await certified('acme machines', { isCa: true, by: root, notBefore: at - 99, notAfter: at - 9 })
    expect(await who(await leaf({ by: over }), over)).toBe(null)
  })

  test('with a name of which another is a part, or a * that would be all, is nobody’s', async () => {
    for (const name of ['*.acme.example', 'node-8.acme.example.', 'x.node-8.acme.example', 'NODE-8.acme.example'])
      expect(await who(await leaf({ names: [[0x82, name]] }), between)).toBe(null)
    // The right text as a name of another form.
    expect(await who(await leaf({ names: [[0x82, 'spiffe://acme/node/7']] }), between)).toBe(null)
  })

  test('that is no certificate is nobody’s', async () => {
    expect(await identityOfCertificate([], body, at)).toBe(null)
    expect(await identityOfCertificate([new Uint8Array(3)], body, at)).toBe(null)
    const { der } = await leaf()
    expect(await identityOfCertificate([der.subarray(0, 200), between.der], body, at)).toBe(null)
    expect(await identityOfCertificate([der, ...Array(12).fill(between.der)], body, at)).toBe(null)
  })

  test('opens what its role may, at its tenant alone', async () => {
    const { owner, other, say, get } = await twoTenants(await open())
    await say(owner, body)
    await say(other, list([identity('me', 'owner', newKey().proof)]))
    const auditor = [(await leaf({ names: [[0x82, 'node-8.acme.example']] })).der, between.der]
    expect((await get(owner, 'leases', undefined, auditor)).status).toBe(200)
    const host = [(await leaf()).der, between.der]
    expect((await get(owner, 'leases', undefined, host)).code).toBe('access/role')
    expect((await get(owner, 'access', undefined, host)).body).toMatchObject({ id: 'by-uri', role: 'host' })
    expect((await get(other, 'leases', undefined, auditor)).code).toBe('broker/unknown-tenant')
  })
})
