import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { kbsOf } from '#cli/kbs-options.js'
import { clientKey } from '#test/fakes/kbs-client.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { adminToken, attested, auth, errorOf, guestAttestation, request, testKbs } from '../fixtures.js'

/*
 * Where the protocol's documents say one thing and its servers another. The numbers are those of the list of conflicts in the
 * reference that the client of this folder was written from.
 */
const headers = { authorization: `Bearer ${adminToken}` }
const { open } = anyDatabase()
const start = async () => testKbs(await open())

describe('document against code', () => {
  test.each(['0.1.1', '0.2.0', '0.4.1', '0.4', '^0.4.0'])(
    '1: version %s is refused, whatever the text names',
    async (v) => {
      const kbs = await start()
      expect((await kbs.ask('POST', '/kbs/v0/auth', { body: request(v) })).status).toBe(401)
      expect((await kbs.ask('POST', '/kbs/v0/auth', { body: request('0.4.0') })).status).toBe(200)
    },
  )

  test('2: a policy’s denial is 403, as the text has it, so that clients stop', async () => {
    const kbs = await start()
    const { cookie } = await attested(kbs)
    kbs.policy.allow = false
    const denied = await kbs.ask('GET', '/kbs/v0/resource/a/b/c', { headers: { cookie } })
    expect([denied.status, (await errorOf(denied)).type]).toEqual([403, expect.stringMatching(/\/PolicyDeny$/)])
  })

  test('3: the type of an error is a name of the code’s, under one prefix', async () => {
    const kbs = await start()
    const { type } = await errorOf(await kbs.ask('GET', '/kbs/v0/resource/a/b/c'))
    expect(type).toBe('https://github.com/confidential-containers/kbs/errors/TokenNotFound')
  })

  test('4: additional evidence as pairs of class and evidence is refused', async () => {
    const kbs = await start()
    for (const additional of ['{"nvidia":["gpu",{}]}', '[["nvidia",["gpu",{}]]]']) {
      const { answer } = await attested(kbs, undefined, { additional })
      expect(await errorOf(answer)).toMatchObject({ code: 'kbs/evidence' })
    }
  })

  test('5: extra-params are any value, and have to be there; the challenge’s are an empty text', async () => {
    const kbs = await start()
    for (const extra of ['{}', '""', '{"supported-hash-algorithms":["sha384"]}', '[]', 'null']) {
      const body = `{"version":"0.4.0","tee":"snp","extra-params":${extra}}`
      const answer = await kbs.ask('POST', '/kbs/v0/auth', { body })
      expect([answer.status, await answer.json()]).toEqual([200, expect.objectContaining({ 'extra-params': '' })])
    }
    expect((await kbs.ask('POST', '/kbs/v0/auth', { body: '{"version":"0.4.0","tee":"snp"}' })).status).toBe(400)
  })

  test('6: a message about reference values has a payload; with provenance it is no such message', async () => {
    const kbs = await start()
    const ask = (member: string) => {
      const body = JSON.stringify({ version: '0.1.0', type: 'sample', [member]: 'e30=' })
      return kbs.ask('POST', '/kbs/v0/reference-value', { body, headers })
    }
    expect((await errorOf(await ask('provenance'))).detail).toMatch(/provenance|payload/)
    // A whole one is understood, and refused for what it is.
    expect(await errorOf(await ask('payload'))).toMatchObject({
      code: 'kbs/reference-values',
      detail: expect.stringMatching(/signed/),
      type: expect.stringMatching(/\/RvpsError$/),
    })
  })

  test('7: a verifier that signs with RSA is refused at the start', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'claviger-kbs-'))
    try {
      const write = (name: string, key: { export(o: object): string | Buffer }) => {
        writeFileSync(join(folder, name), key.export({ type: 'spki', format: 'pem' }))
        return join(folder, name)
      }
      const rsa = write('rsa.pem', generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)
      const ec = write('ec.pem', generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
      const p384 = write('p384.pem', generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey)
      const ed = write('ed.pem', generateKeyPairSync('ed25519').publicKey)
      for (const path of [rsa, p384])
        await expect(kbsOf({ kbsVerifier: [path] })).rejects.toMatchObject({ code: 'input/document' })
      for (const path of [rsa, ec])
        await expect(kbsOf({ kbsAdminKey: [path] })).rejects.toMatchObject({ code: 'input/document' })
      const taken = await kbsOf({ kbsVerifier: [ec, ed], kbsAdminKey: [ed] })
      expect([taken.verifiers?.length, taken.adminKeys?.length]).toEqual([2, 1])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('8: what evidence carries is compared whole, and nothing is padded or cut to fit', async () => {
    const kbs = await start()
    // Bound without the last member of what is hashed; and with the digest of another text of the same length.
    for (const bound of [{ additional: ' ' }, { nonce: 'A'.repeat(44) }]) {
      const { answer } = await attested(kbs, undefined, { bound })
      expect(answer.status).toBe(401)
    }
  })

  test('9: a JWE has no member `aad`', async () => {
    const kbs = await start()
    await kbs.ask('POST', '/kbs/v0/resource/a/b/c', { body: 'x', headers })
    const { cookie } = await attested(kbs)
    const answer = await kbs.ask('GET', '/kbs/v0/resource/a/b/c', { headers: { cookie } })
    expect(Object.keys((await answer.json()) as object)).not.toContain('aad')
  })

  test('10: every kind of TEE that the protocol has is known by name, and told why when it is not taken', async () => {
    const kbs = await start()
    const names = 'az-snp-vtpm az-tdx-vtpm nvidia nvidia-dpu sgx snp tdx cca csv se hygondcu tpm sample sampledevice'
    for (const tee of names.split(' ')) {
      const answer = await kbs.ask('POST', '/kbs/v0/auth', { body: request('0.4.0', tee) })
      if (answer.status !== 200) expect((await errorOf(answer)).detail, tee).not.toMatch(/there is no/)
    }
    const answer = await kbs.ask('POST', '/kbs/v0/auth', { body: request('0.4.0', 'abacus') })
    expect((await errorOf(answer)).detail).toMatch(/there is no TEE/)
  })
})

describe('bad input', () => {
  test.each([
    ['a member twice at the top', (body: string) => `{"init-data":null,${body.slice(1)}`],
    ['the nonce twice', (body: string) => body.replace('"nonce":', '"nonce":"x","nonce":')],
    ['the key twice', (body: string) => body.replace('"tee-pubkey":', '"tee-pubkey":{},"tee-pubkey":')],
    ['a member of the key twice', (body: string) => body.replace('"kty":', '"kty":"RSA","kty":')],
    ['a field of the report twice', (body: string) => body.replace('"vmpl":', '"vmpl":0,"vmpl":')],
    ['a member in two spellings', (body: string) => body.replace('"nonce":', '"\\u006eonce":"x","nonce":')],
    ['something after the end', (body: string) => `${body} {}`],
    ['brackets without end', () => '['.repeat(100_000)],
    ['a byte order mark', (body: string) => `\ufeff${body}`],
    ['an unknown member', (body: string) => `{"more":1,${body.slice(1)}`],
    [
      'evidence of two megabytes',
      (body: string) =>
        body.replace('"cert_chain":[', `"cert_chain":[{"cert_type":"VCEK","data":[${'1,'.repeat(900_000)}1]},`),
    ],
  ])('refused before anything is verified: %s', async (_name, change) => {
    const kbs = await start()
    const opened = await auth(kbs)
    const body = change(await guestAttestation(opened, clientKey('P-256')))
    const answer = await kbs.ask('POST', '/kbs/v0/attest', { body, headers: { cookie: opened.cookie } })
    expect([400, 401, 413]).toContain(answer.status)
    expect((await errorOf(answer)).type).toMatch(/\/(SerdeError|AttestationError|HTTPFailed)$/)
    expect(kbs.seen.verifications).toBe(0)
  })
})
