import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { commandLine } from '#console/command.js'
import { type FormInput, judgeForm, verifySizes } from '#console/judge.js'
import { toHex } from '#core/bytes/bytes.js'
import { codeOf } from '#test/fakes/code-of.js'
import { testReferenceValues, testRootDigest, testTime } from '#test/fakes/platform.js'
import { mintEvidence, mintedReportData } from '#test/fakes/snp.js'

const file = (name: string, content: unknown = '') => ({
  name,
  bytes: new TextEncoder().encode(typeof content === 'string' ? content : JSON.stringify(content)),
})
const empty: FormInput = {
  evidence: file('evidence.json'),
  collateral: [],
  shipped: [],
  typed: {},
  binding: null,
  referenceValues: null,
  values: null,
  trust: null,
  allowSimulated: false,
}

/** The words that a shell makes of a line. */
function shellWords(line: string): readonly string[] {
  const out = execFileSync('bash', ['-c', `printf '%s\\0' ${line.replace('./claviger', 'claviger')}`], {
    encoding: 'utf8',
  })
  return out.split('\0').slice(0, -1)
}

test('everything that was filled in stands in the line, by its option', () => {
  const form: FormInput = {
    ...empty,
    collateral: [file('a'), file('b')],
    typed: { nonce: 'aa', reportData: 'bb', simulatedRoot: ['cc', 'dd'] },
    binding: file('binding.json'),
    referenceValues: file('-values.json'),
    values: file('more.json'),
    trust: file('trust.json'),
    allowSimulated: true,
  }
  expect(commandLine(form, 1_767_225_600)).toBe(
    './claviger attest verify evidence.json --collateral collateral --nonce aa --report-data bb --binding binding.json ' +
      '--reference-values ./-values.json --values more.json --trust trust.json --simulated-root cc --simulated-root dd ' +
      '--dangerous-allow-simulated --at 2026-01-01T00:00:00Z',
  )
})

test('no name of a file is more to a shell than a name', () => {
  const names = fc.array(fc.string({ minLength: 1, maxLength: 20 }), { minLength: 20, maxLength: 20 })
  fc.assert(
    fc.property(names, (all) => {
      for (const name of ["'; id; '", '$(id)', '`id`', '--at', 'a b', '"', ...all].slice(0, 8)) {
        const words = shellWords(commandLine({ ...empty, evidence: file(name), trust: file(name) }, testTime))
        const word = name.startsWith('-') ? `./${name}` : name
        expect(words.slice(0, 6)).toEqual(['claviger', 'attest', 'verify', word, '--trust', word])
        expect(words.length).toBe(8)
      }
    }),
    { numRuns: 4 },
  )
})

test('what cannot be read at all is trouble or a verdict against, for any bytes in any field', async () => {
  const evidence = await mintEvidence()
  const good: FormInput = {
    ...empty,
    evidence: file('snp.json', evidence),
    typed: { reportData: toHex(mintedReportData), simulatedRoot: [testRootDigest], at: String(testTime) },
    referenceValues: file('values.json', testReferenceValues()),
    allowSimulated: true,
  }
  const passed = await judgeForm(good, testTime)
  expect('outcome' in passed && passed.outcome.accepted).toBe(true)
  const fields = ['evidence', 'binding', 'referenceValues', 'values', 'trust', 'collateral'] as const
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...fields), fc.uint8Array({ maxLength: 300 }), async (name, bytes) => {
      const one = { name, bytes }
      const form = { ...good, [name]: name === 'collateral' ? [one] : one }
      const verdict = await judgeForm(form, testTime).catch((error: unknown) => error)
      if (verdict instanceof Error)
        expect(
          codeOf(() => {
            throw verdict
          }),
        ).toMatch(/^[a-z-]+\/[a-z0-9-]+$/)
      // Collateral that is none is passed over; nothing else that was made up leads to a verdict that is relied on.
      else if ('outcome' in (verdict as object)) expect(name).toBe('collateral')
      else expect(verdict).toHaveProperty('refused')
    }),
    { numRuns: 300 },
  )
})

test('files are refused by their sizes before they are read', () => {
  expect(codeOf(() => verifySizes([{ size: 11 }], 10, 1))).toBe('console/size')
  expect(codeOf(() => verifySizes([{ size: 1 }, { size: 1 }], 10, 1))).toBe('console/size')
  expect(verifySizes([{ size: 5 }, { size: 5 }], 10, 2)).toBeUndefined()
})
