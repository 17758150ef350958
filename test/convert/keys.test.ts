import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ageOpen, ageSeal, createAgeIdentity } from '#convert/keys/age.js'
import {
  createOwnerKeys,
  loadModelKey,
  loadOwnerKeys,
  loadOwnerPublicKey,
  loadPublisherKey,
  ownerKeyFiles,
  storeModelKey,
} from '#convert/keys/owner-keys.js'
import { pemToPrivateKey, privateKeyToPem } from '#convert/keys/pem.js'
import { fromUtf8, toHex, utf8 } from '#core/bytes/bytes.js'
import { jwkToSpki, publisherJwk, signatureJwk } from '#core/crypto/jwk.js'
import { encodePem } from '#core/encoding/pem.js'
import { isFailure } from '#core/failure.js'
import { packageRoot } from '#host/process.js'

let folder: string
const digest = 'ab'.repeat(32)
const dek = Uint8Array.from({ length: 32 }, (_, i) => i)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'claviger-keys-'))
  await createOwnerKeys(folder, 'acme')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('PEM of private keys', () => {
  test('is the PEM that everybody writes, for every length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (der) => {
        expect(fromUtf8(privateKeyToPem(der))).toBe(encodePem(der, 'PRIVATE KEY'))
        expect(toHex(pemToPrivateKey(privateKeyToPem(der)))).toBe(toHex(der))
      }),
    )
  })

  test('throws Failure and nothing else on any bytes', () => {
    const pem = privateKeyToPem(utf8('a key of some length'))
    fc.assert(
      fc.property(fc.nat(pem.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = pem.slice()
        changed[at]! ^= flip
        try {
          pemToPrivateKey(changed)
        } catch (error) {
          if (!isFailure(error)) throw error
        }
      }),
    )
    expect(() => pemToPrivateKey(utf8('-----BEGIN PRIVATE KEY-----\n'))).toThrow(
      expect.objectContaining({ code: 'keys/form' }),
    )
  })
})

describe('age', () => {
  test('opens with the identity that it was sealed to, and with no other', async () => {
    const [mine, other] = [await createAgeIdentity('mine'), await createAgeIdentity('other')]
    const sealed = await ageSeal(mine.recipient, dek)
    expect(await ageOpen(mine.file, sealed, 32)).toEqual(dek)
    await expect(ageOpen(other.file, sealed, 32)).rejects.toMatchObject({ code: 'keys/age' })
    await expect(ageOpen(mine.file, sealed, 33)).rejects.toMatchObject({ code: 'keys/age' })
    await expect(ageOpen(mine.file, sealed.subarray(0, -1), 32)).rejects.toMatchObject({ code: 'keys/age' })
    await expect(ageOpen(utf8('# no identity\n'), sealed, 32)).rejects.toMatchObject({ code: 'keys/form' })
    await expect(ageSeal('age1nobody', dek)).rejects.toMatchObject({ code: 'keys/form' })
  })
})

describe("an owner's folder", () => {
  test('is loaded as it was made, secrets readable by this user only', async () => {
    const keys = await loadOwnerKeys(folder)
    expect(keys.signingKey.algorithm).toBe('ES256')
    expect(keys.recoveryRecipient).toBe(readFileSync(join(folder, ownerKeyFiles.recoveryRecipient), 'utf8').trim())
    for (const file of [ownerKeyFiles.signing, ownerKeyFiles.recoveryIdentity, ownerKeyFiles.storeIdentity]) {
      expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600)
    }
  })

  test('appears whole or not at all, wherever its maker was killed', async () => {
    const place = join(mkdtempSync(join(tmpdir(), 'claviger-keys-')), 'keys')
    const program = `
      const { createOwnerKeys } = await import(${JSON.stringify(join(packageRoot(), 'dist/convert/keys/owner-keys.js'))})
      process.stdout.write('.')
      await createOwnerKeys(${JSON.stringify(place)}, 'acme')`
    let whole = 0
    for (let kill = 0; whole === 0 && kill < 60; kill++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      child.stdout!.once('data', () => setTimeout(() => child.kill('SIGKILL'), kill * 3))
      await new Promise((resolve) => child.once('close', resolve))
      if (!existsSync(place)) continue
      expect((await loadOwnerKeys(place)).recoveryRecipient).toMatch(/^age1/)
      whole++
    }
    expect(whole).toBe(1)
    await expect(createOwnerKeys(place, 'acme')).rejects.toMatchObject({ code: 'keys/exists' })
    rmSync(join(place, '..'), { recursive: true })
  })

  test('takes the place of nothing but an empty folder, and leaves nothing beside it', async () => {
    const above = mkdtempSync(join(tmpdir(), 'claviger-keys-'))
    writeFileSync(join(above, 'letter'), 'dear')
    await expect(createOwnerKeys(above, 'acme')).rejects.toMatchObject({ code: 'keys/exists' })
    await createOwnerKeys(`${join(above, 'new', 'keys')}/`, 'acme')
    const made = await Promise.allSettled([1, 2, 3].map(() => createOwnerKeys(join(above, 'keys'), 'acme')))
    expect(made.filter((one) => one.status === 'fulfilled')).toHaveLength(1)
    expect(readdirSync(above).toSorted()).toEqual(['keys', 'letter', 'new'])
    expect(statSync(join(above, 'keys')).mode & 0o777).toBe(0o700)
    rmSync(above, { recursive: true })
  })

  test('is loaded without the recovery identity, which belongs elsewhere', async () => {
    const path = join(folder, ownerKeyFiles.recoveryIdentity)
    const identity = readFileSync(path)
    rmSync(path)
    expect((await loadOwnerKeys(folder)).folder).toBe(folder)
    writeFileSync(path, identity, { mode: 0o600 })
  })

  test('refuses a public key that is not the private one’s', async () => {
    const other = mkdtempSync(join(tmpdir(), 'claviger-keys-'))
    await createOwnerKeys(other, 'other')
    writeFileSync(join(other, ownerKeyFiles.public), readFileSync(join(folder, ownerKeyFiles.public)))
    await expect(loadOwnerKeys(other)).rejects.toMatchObject({ code: 'crypto/signature' })
    rmSync(other, { recursive: true })
  })

  test('keeps a model’s key encrypted, once, under its manifest digest', async () => {
    await storeModelKey(folder, digest, dek)
    const file = readFileSync(join(folder, ownerKeyFiles.deks, `${digest}.age`))
    expect(fromUtf8(file.subarray(0, 21))).toBe('age-encryption.org/v1')
    expect(file.includes(Buffer.from(dek))).toBe(false)
    expect(await loadModelKey(folder, digest)).toEqual(dek)
    await expect(storeModelKey(folder, digest, dek)).rejects.toMatchObject({ code: 'file/exists' })
    await expect(loadModelKey(folder, 'cd'.repeat(32))).rejects.toMatchObject({ code: 'file/absent' })
    await expect(loadModelKey(folder, '../x')).rejects.toMatchObject({ code: 'keys/form' })
  })
})

test('the key of a publisher is read from PEM on each curve, and names itself as its JWK does', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'claviger-publisher-'))
  try {
    for (const [name, curve] of [
      ['P-256', 'P-256'],
      ['P-384', 'P-384'],
      ['Ed25519', undefined],
    ] as const) {
      const { publicKey } = curve ? generateKeyPairSync('ec', { namedCurve: curve }) : generateKeyPairSync('ed25519')
      const path = join(folder, `${name}.pem`)
      writeFileSync(path, publicKey.export({ format: 'pem', type: 'spki' }))
      const key = await loadPublisherKey(path)
      const { kty, crv, x, y } = publicKey.export({ format: 'jwk' })
      expect(key).toEqual({ kty, crv, x, ...(y === undefined ? {} : { y }) })
      expect(publisherJwk({ ...key }, 'key')).toEqual(key)
      expect(toHex(jwkToSpki(key))).toBe(toHex(new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }))))
      // Nothing of an owner's is signed on P-384.
      const owner = await loadOwnerPublicKey(path).catch((error: { code: string }) => error.code)
      expect(owner).toEqual(name === 'P-384' ? 'keys/form' : key)
      if (name === 'P-384')
        expect(() => signatureJwk({ ...key }, 'key')).toThrow(expect.objectContaining({ code: 'shape/form' }))
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
