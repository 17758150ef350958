import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const page = readFileSync(new URL('../../docs/GLOSSARY.md', import.meta.url), 'utf8')
const words = [...page.matchAll(/^\*\*(.+?)\*\*/gm)].map((found) => found[1]!)

test('the glossary is in alphabetical order, each word once', () => {
  const sorted = [...words].sort((a, b) => a.localeCompare(b, 'en', { sensitivity: 'base' }))
  expect(words).toEqual(sorted)
  expect(new Set(words).size).toBe(words.length)
})

test('the glossary has a line for each of the words that others lean on', () => {
  const needed =
    'attester,evidence,claim,endorser,endorsement,reference value,verifier,attestation result,relying party,passport,' +
    'background check,trust anchor,collateral,freshness,nonce,EAR,submod,trust tier,none,affirming,warning,' +
    'contraindicated,measurement,report data,TCB,SVN,challenge,session,resource,release,wrapped,sealed,suite,' +
    'recipient key,encapsulated key,info,AAD,exporter,entry,leaf hash,tree size,root hash,checkpoint,origin,' +
    'inclusion proof,consistency proof,witness,cosignature,split view,parse,encode,verify,appraise,decide,verified,' +
    'asserted,declared,not checked,place,operator,basis,grade,lease,beat,keyset,node document,receipt,bundle,' +
    'trust file,trust statement'
  expect(needed.split(',').filter((word) => !words.includes(word))).toEqual([])
})
