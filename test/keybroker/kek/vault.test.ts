import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { equal, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { Failure } from '#core/failure.js'
import type { OpenKek } from '#keybroker/kek/kek.js'
import { createKek, openKek } from '#keybroker/kek/open.js'
import { vaultLimits } from '#keybroker/kek/vault/client.js'
import { encodeSecret, takePlaintext } from '#keybroker/kek/vault/plaintext.js'
import { openVaultKek } from '#keybroker/kek/vault/provider.js'
import { type ModelKeyContext, modelKeyAad } from '#keybroker/model-key.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'
import { mintTls, startVault, type Trouble, token, type Vault } from '#test/fakes/vault.js'

const context: ModelKeyContext = {
  share: null,
  tenant: 'acme',
  tenantClass: 'production',
  model: 'whisper',
  version: 1,
  manifestDigest: 'm1',
  ownerKeysDigest: 'o1',
  trustDigest: 't1',
}
const aad = modelKeyAad(context)
const impatient = { ...vaultLimits, timeoutMs: 150, deadlineMs: 600 }

let vault: Vault
let kek: OpenKek
beforeAll(async () => {
  vault = await startVault()
  await createKek(vault.setting())
  kek = await openKek(vault.setting())
})
afterEach(() => {
  vault.trouble = null
  vault.bindsAad = true
  vault.tokens.set(token, { ttl: 0, renewable: false })
})
afterAll(async () => {
  await kek.close()
  await vault.close()
})

describe('a key-encryption key in a transit engine', () => {
  test('is made by one explicit act, and never over one that is there', async () => {
    expect(await codeOfPromise(openKek(vault.setting('made')))).toBe('kek/vault-key-absent')
    const id = await createKek(vault.setting('made'))
    expect(vault.keys.get('made')!.config).toMatchObject({
      type: 'aes256-gcm96',
      exportable: false,
      allow_plaintext_backup: false,
    })
    expect(await codeOfPromise(createKek(vault.setting('made')))).toBe('kek/vault-key-exists')
    const opened = await openKek(vault.setting('made'))
    expect(opened).toMatchObject({ keyId: id, provider: 'vault', holder: 'operator' })
    expect(opened.keyId).not.toBe(kek.keyId)
    await opened.close()
    await expect(opened.wrapDek(randomBytes(32), aad)).rejects.toThrow('assertion')
  })

  test('unwraps what it wrapped, into a buffer of its own, across a rotation inside Vault', async () => {
    const dek = randomBytes(32)
    const wrapped = await kek.wrapDek(dek, aad)
    expect(Buffer.from(wrapped.subarray(17)).toString()).toMatch(/^vault:v1:[A-Za-z0-9+/]{80}$/)
    expect(kek.isCurrent(wrapped)).toBe(true)
    vault.rotate('claviger')
    const opened = await kek.unwrapDek(wrapped, aad, kek.keyId)
    expect(equal(opened, dek)).toBe(true)
    expect(opened.buffer.byteLength).toBeGreaterThan(64)
    const again = await kek.wrapDek(dek, aad)
    expect(Buffer.from(again.subarray(17)).toString()).toMatch(/^vault:v2:/)
    expect([kek.isCurrent(wrapped), kek.isCurrent(again)]).toEqual([false, true])
    const other = await openKek(vault.setting())
    expect([other.isCurrent(wrapped), other.isCurrent(again)]).toEqual([false, true])
    expect(equal(await other.unwrapDek(again, aad, kek.keyId), dek)).toBe(true)
    await other.close()
  })

  test('gives the model key to Vault alone: no other request and no message has it', async () => {
    const dek = randomBytes(32)
    vault.requests.length = 0
    const wrapped = await kek.wrapDek(dek, aad)
    await kek.unwrapDek(wrapped, aad, kek.keyId)
    const carrying = vault.requests.filter(({ body }) => body.includes(Buffer.from(dek).toString('base64')))
    expect(carrying.map(({ path }) => path)).toEqual(['/v1/transit/encrypt/claviger'])
  })

  test.each([
    ['another tenant', { tenant: 'other' }],
    ['another class', { tenantClass: 'development' }],
    ['another version', { version: 2 }],
    ['another trust statement', { trustDigest: 't2' }],
  ] as const)('does not unwrap for %s', async (_name, change) => {
    const wrapped = await kek.wrapDek(randomBytes(32), aad)
    const failed = kek.unwrapDek(wrapped, modelKeyAad({ ...context, ...change }), kek.keyId)
    expect(await codeOfPromise(failed)).toBe('kek/unwrap')
  })

  test('refuses a wrapped key with any one bit changed', async () => {
    const wrapped = await kek.wrapDek(randomBytes(32), aad)
    await fc.assert(
      fc.asyncProperty(fc.nat(wrapped.length * 8 - 1), async (bit) => {
        const altered = wrapped.slice()
        altered[bit >> 3]! ^= 1 << (bit & 7)
        expect(['kek/unwrap', 'kek/key-id', 'kek/vault-version']).toContain(
          await codeOfPromise(kek.unwrapDek(altered, aad, kek.keyId)),
        )
      }),
      { numRuns: 60 },
    )
  })

  test('says when the version that wrapped may decrypt no more', async () => {
    vault.addKey('aged')
    const aged = await openKek(vault.setting('aged'))
    const wrapped = await aged.wrapDek(randomBytes(32), aad)
    vault.rotate('aged')
    vault.keys.get('aged')!.minDecryption = 2
    expect(await codeOfPromise(aged.unwrapDek(wrapped, aad, aged.keyId))).toBe('kek/vault-version')
    await aged.close()
  })

  test.each([
    ['may be exported', { exportable: true }],
    ['may be backed up in the clear', { allow_plaintext_backup: true }],
    ['is derived', { derived: true }],
    ['is of another type', { type: 'chacha20-poly1305' }],
    ['does not say whether it may be exported', { exportable: undefined }],
  ])('is refused when it %s', async (_name, config) => {
    vault.addKey('loose', config)
    expect(await codeOfPromise(openKek(vault.setting('loose')))).toBe('kek/vault-key')
  })

  test('is refused where associated data are taken and not bound', async () => {
    vault.addKey('unbound')
    vault.bindsAad = false
    await expect(openKek(vault.setting('unbound'))).rejects.toMatchObject({
      code: 'kek/vault-key',
      message: expect.stringContaining('does not bind'),
    })
  })

  test('sends its namespace', async () => {
    const opened = await openKek({ ...vault.setting(), namespace: 'team/a' })
    expect(vault.requests.at(-1)!.namespace).toBe('team/a')
    expect(opened.keyId).not.toBe(kek.keyId)
    await opened.close()
  })
})

describe('the certificate of Vault', () => {
  test('is verified: an authority that is not named, or another name, ends before the token is sent', async () => {
    vault.requests.length = 0
    expect(await codeOfPromise(openKek({ ...vault.setting(), caFile: null }))).toBe('kek/vault-tls')
    const other = join(vault.folder, 'other.pem')
    writeFileSync(other, (await mintTls()).ca)
    expect(await codeOfPromise(openKek({ ...vault.setting(), caFile: other }))).toBe('kek/vault-tls')
    const address = vault.url.replace('127.0.0.1', 'localhost')
    expect(await codeOfPromise(openKek({ ...vault.setting(), address }))).toBe('kek/vault-tls')
    writeFileSync(other, 'no certificate')
    expect(await codeOfPromise(openKek({ ...vault.setting(), caFile: other }))).toBe('kek/vault-tls')
    expect(vault.requests).toEqual([])
  })

  test('is verified whatever the environment says', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
    expect(await codeOfPromise(openKek({ ...vault.setting(), caFile: null }))).toBe('kek/vault-tls')
    vi.unstubAllEnvs()
  })

  test('without one, on this machine: not for production tenants', async () => {
    const plain = await startVault({ plain: true })
    plain.addKey('claviger')
    const opened = await openKek(plain.setting())
    const dek = randomBytes(32)
    expect(equal(await opened.unwrapDek(await opened.wrapDek(dek, aad), aad, opened.keyId), dek)).toBe(true)
    expect(codeOf(() => opened.verifyProtected())).toBe('kek/vault-tls')
    kek.verifyProtected()
    await opened.close()
    await plain.close()
  })
})

describe('a Vault in trouble', () => {
  const gives =
    (status: number, body: string, headers: Record<string, string> = {}): Trouble =>
    (_, response) => {
      response.writeHead(status, headers).end(body)
      return true
    }
  const says = (text: string) => JSON.stringify({ errors: [text] })
  const wrap = () => kek.wrapDek(randomBytes(32), aad)
  const tries = async (trouble: Trouble) => {
    let count = 0
    vault.trouble = (...all) => {
      count++
      return trouble(...all)
    }
    return { code: await codeOfPromise(wrap()), count }
  }

  test.each([
    ['sealed', 503, says('Vault is sealed'), 'kek/vault-sealed', 1],
    ['not initialised', 501, says(''), 'kek/vault-sealed', 1],
    ['a performance standby', 473, '', 'kek/vault-standby', 1],
    ['a standby that names another', 307, '', 'kek/vault-standby', 1],
    ['a policy that does not allow it', 403, says('permission denied'), 'kek/vault-denied', 1],
    ['a proxy without a backend', 502, '<html>', 'kek/vault-unavailable', 3],
    ['a failover', 503, says('local node not active'), 'kek/vault-unavailable', 3],
    ['a bug of the server', 500, says('internal error'), 'kek/vault-unavailable', 3],
    ['no room', 429, says('request path "x": rate limit quota exceeded'), 'kek/vault-busy', 3],
    ['another refusal', 400, says('no such thing'), 'kek/vault-failed', 1],
    ['junk', 200, 'hello', 'kek/vault-answer', 1],
    ['JSON that is no answer', 200, '[]', 'kek/vault-answer', 1],
    ['an answer without its member', 200, '{"data":{}}', 'kek/vault-answer', 1],
    ['a ciphertext of something else', 200, '{"data":{"ciphertext":"vault:v1:AAAA"}}', 'kek/vault-answer', 1],
    ['an endless answer', 200, ' '.repeat(70_000), 'kek/vault-answer', 1],
  ] as const)('%s', async (_name, status, body, code, count) => {
    const headers: Record<string, string> = status === 307 ? { location: 'https://elsewhere.example/' } : {}
    expect(await tries(gives(status, body, headers))).toEqual({ code, count })
  })

  test('that is over soon is not noticed', async () => {
    let left = 2
    vault.trouble = (_, response) => {
      if (left-- === 0) vault.trouble = null
      if (left < 0) return false
      response.writeHead(503, { 'retry-after': '0' }).end(says('leader'))
      return true
    }
    expect((await wrap()).length).toBe(17 + 89)
  })

  test('that answers never, in pieces, or hangs up', async () => {
    const opened = await openVaultKek(vault.setting(), { limits: impatient })
    vault.trouble = () => true
    expect(await codeOfPromise(opened.wrapDek(randomBytes(32), aad))).toBe('kek/vault-timeout')
    vault.trouble = (_, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('{')
      return true
    }
    expect(await codeOfPromise(opened.wrapDek(randomBytes(32), aad))).toBe('kek/vault-timeout')
    vault.trouble = (request) => {
      request.socket.destroy()
      return true
    }
    expect(await codeOfPromise(opened.wrapDek(randomBytes(32), aad))).toBe('kek/vault-unreachable')
    vault.trouble = null
    await opened.wrapDek(randomBytes(32), aad)
    await opened.close()
  })

  test('more than it can answer in time are refused at once', async () => {
    const opened = await openVaultKek(vault.setting(), { limits: { ...impatient, concurrencyMax: 1 } })
    vault.trouble = () => true
    const first = codeOfPromise(opened.wrapDek(randomBytes(32), aad))
    expect(await codeOfPromise(opened.wrapDek(randomBytes(32), aad))).toBe('kek/vault-busy')
    expect(await first).toBe('kek/vault-timeout')
    await opened.close()
  })

  test('that is not there at all', async () => {
    const address = 'https://127.0.0.1:1'
    expect(await codeOfPromise(openKek({ ...vault.setting(), address }))).toBe('kek/vault-unreachable')
  })
})

describe('the token', () => {
  test('is read anew when it is refused, since an agent writes the next one into its file', async () => {
    vault.tokens.delete(token)
    vault.tokens.set('hvs.the-next-one', { ttl: 0, renewable: false })
    expect(await codeOfPromise(kek.wrapDek(randomBytes(32), aad))).toBe('kek/vault-denied')
    writeFileSync(vault.tokenFile, 'hvs.the-next-one')
    await kek.wrapDek(randomBytes(32), aad)
    vault.tokens.set(token, { ttl: 0, renewable: false })
    writeFileSync(vault.tokenFile, token)
  })

  test.each([
    ['nothing', ''],
    ['two lines', 'hvs.first-of-two\nhvs.second-of-two'],
    ['a blank inside', 'hvs.one hvs.two'],
  ])('is none: %s', async (_name, text) => {
    const tokenFile = join(vault.folder, 'bad-token')
    writeFileSync(tokenFile, text, { mode: 0o600 })
    expect(await codeOfPromise(openKek({ ...vault.setting(), tokenFile }))).toBe('kek/vault-token')
  })

  test('stands in a file that nobody else can read', async () => {
    const tokenFile = join(vault.folder, 'open-token')
    writeFileSync(tokenFile, token, { mode: 0o644 })
    expect(await codeOfPromise(openKek({ ...vault.setting(), tokenFile }))).toBe('file/permissions')
  })

  test('is renewed at half of its time, and a renewal that fails is told', async () => {
    vault.tokens.set(token, { ttl: 1, renewable: true })
    const renewed = () => vault.requests.filter(({ path }) => path.endsWith('renew-self')).length
    const before = renewed()
    const told: Failure[] = []
    const opened = await openVaultKek(vault.setting(), { onTrouble: (failure) => void told.push(failure) })
    await vi.waitFor(() => expect(renewed()).toBeGreaterThan(before + 1), { timeout: 5000 })
    vault.trouble = (request, response) => {
      if (!request.url!.endsWith('renew-self')) return false
      response.writeHead(403).end()
      return true
    }
    await vi.waitFor(() => expect(told.map(({ code }) => code)).toEqual(['kek/vault-denied']), { timeout: 5000 })
    await opened.close()
  })
})

describe('a model key inside JSON', () => {
  const encoded = (secret: Uint8Array) => {
    const text = new Uint8Array(44)
    encodeSecret(secret, text)
    return Buffer.from(text).toString('latin1')
  }
  const secrets = fc.uint8Array({ minLength: 32, maxLength: 32 })

  test('is the base64 of everybody else, and comes back', () => {
    fc.assert(
      fc.property(secrets, (secret) => {
        expect(encoded(secret)).toBe(Buffer.from(secret).toString('base64'))
        const body = utf8(`{"data": {"plaintext" : "${encoded(secret)}"}}`)
        expect(equal(takePlaintext(body), secret)).toBe(true)
        // Nothing of it is left where it came from.
        expect(Buffer.from(body).toString()).toContain(`"${'A'.repeat(43)}="`)
      }),
    )
  })

  test.each([
    ['beside the place', '{"plaintext":"X"}'],
    ['twice', '{"data":{"plaintext":"X","other":{"plaintext":"X"}}}'],
    ['in a text', '{"data":{"text":"\\"plaintext\\":\\"X\\""}}'],
    ['of another length', '{"data":{"plaintext":"QUJD"}}'],
    ['spelled with an escape', '{"data":{"pl\\u0061intext":"X"}}'],
    ['not as a text', '{"data":{"plaintext":null}}'],
    ['with junk behind', '{"data":{"plaintext":"X"}}}'],
    ['of other characters', `{"data":{"plaintext":"${'*'.repeat(43)}="}}`],
    ['with bits in its last character', `{"data":{"plaintext":"${'A'.repeat(42)}B="}}`],
    ['cut off', '{"data":{"plaintext":"AAAA'],
  ])('is refused %s', (_name, text) => {
    const body = utf8(text.replaceAll('X', encoded(randomBytes(32))))
    expect(codeOf(() => takePlaintext(body))).toBe('kek/vault-answer')
  })

  test('any bytes are refused with a failure of its own', () => {
    const pieces = fc.constantFrom('"plaintext"', ':', ' ', '"', '{', '}', '"data"', `${'A'.repeat(43)}=`, '\\')
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(pieces).map((all) => all.join('')),
        ),
        (text) => {
          expect([undefined, 'ok', 'kek/vault-answer']).toContain(codeOf(() => takePlaintext(utf8(text))))
        },
      ),
    )
  })
})
