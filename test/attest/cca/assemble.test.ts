import { describe, expect, test } from 'vitest'
import { assemble } from '#attest/assemble.js'
import { poolOf } from '#attest/pool.js'
import { recognise } from '#attest/recognise.js'
import { concat, utf8 } from '#core/bytes/bytes.js'
import { encodePem } from '#core/encoding/pem.js'
import { ccaKeys, mintCca, mintCcaEvidence, wrapped } from '../../fakes/cca.js'
import { codeOf } from '../../fakes/code-of.js'

const key = ccaKeys.platform.spki
const noise = [
  { name: 'notes.txt', bytes: utf8('nothing') },
  { name: 'empty', bytes: new Uint8Array() },
  { name: 'private.pem', bytes: utf8(encodePem(ccaKeys.platform.pkcs8, 'PRIVATE KEY')) },
]

describe('a token and the files beside it', () => {
  test.each([
    ['PEM', utf8(encodePem(key, 'PUBLIC KEY'))],
    ['DER', key],
  ])('with the key of the platform in %s are evidence', async (_, bytes) => {
    for (const broken of [{}, { collect: wrapped }]) {
      const evidence = await mintCcaEvidence(broken)
      const { token } = await mintCca(broken)
      expect(assemble(recognise(token), poolOf([...noise, { name: 'key', bytes }]))).toEqual(evidence)
    }
  })

  test('without it say what is missing', async () => {
    const { token } = await mintCca()
    expect(codeOf(() => assemble(recognise(token), poolOf(noise)))).toBe('evidence/incomplete')
  })

  test('with a byte behind the key are left to the verifier, which refuses it', async () => {
    const { token } = await mintCca()
    const bytes = concat(ccaKeys.platform256.spki, new Uint8Array(1))
    expect(assemble(recognise(token), poolOf([{ name: 'key', bytes }]))).toMatchObject({ kind: 'cca' })
  })
})
