import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { generateSigningKey } from '#core/crypto/sign.js'
import { signTrust, type Trust, verifyTrustFile } from '#core/wire/trust-file.js'
import { writeBlocks } from '#test/fakes/pages.js'

// With CLAVIGER_MINT_VECTORS set, what is minted here takes the place of what stands in the repository, pages included.
const isKept = process.env.CLAVIGER_MINT_VECTORS !== undefined
const path = (format: string) => `test/vectors/${format}/cases.json`
const read = (format: string) => JSON.parse(readFileSync(path(format), 'utf8'))
const write = (format: string, value: unknown) => writeFileSync(path(format), `${JSON.stringify(value, null, 1)}\n`)

test('a freshly signed trust file of the payload of the vectors agrees', async () => {
  const { trust } = read('bundle') as { trust: Trust }
  const file = await signTrust(trust, (await generateSigningKey('ES256')).key)
  expect((await verifyTrustFile(file, null, trust.issuedAt)).trust).toEqual(trust)
  if (!isKept) return
  write('trust-file', { ...read('trust-file'), file })
  writeBlocks('trust-file', [file, trust])
})
