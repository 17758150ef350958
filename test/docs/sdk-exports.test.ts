import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')

/** What a program of Node prints that imports the built package by its name. */
function evaluate(code: string, ...flags: string[]): string {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...flags, '--no-warnings', '--input-type=module', '-e', code],
    { cwd: root, encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(stderr)
  return stdout
}

const names = 'import * as sdk from "claviger"; console.log(Object.keys(sdk).sort().join())'

describe('the package by its name', () => {
  test.each([[[]], [['--conditions=browser']]])('gives the same names with %s', (flags) => {
    expect(
      evaluate(names, ...flags)
        .trim()
        .split(','),
    ).toEqual([
      'Failure',
      'NodeClient',
      'Steps',
      'clientPolicyShape',
      'createFetch',
      'fetchNodeDocument',
      'isFailure',
      'judged',
      'nodeSteps',
      'parseJson',
      'receiptSteps',
      'thumbprint',
      'trustFileShape',
      'verifyNode',
      'verifyReceipt',
      'verifyTrustFile',
    ])
  })

  test('signs and verifies alike on both backends: a trust file of the vectors', () => {
    const code = `
      import { readFileSync } from 'node:fs'
      import { parseJson, trustFileShape, verifyTrustFile } from 'claviger'
      const { file, cases } = JSON.parse(readFileSync('test/vectors/trust-file/cases.json', 'utf8'))
      const { digest } = await verifyTrustFile(trustFileShape(parseJson(Buffer.from(JSON.stringify(file))), ''), null, cases[0].at)
      console.log(digest)`
    expect(evaluate(code, '--conditions=browser')).toBe(evaluate(code))
  })

  test('judges bundles by its second entry', () => {
    const code = `
      import { readFileSync } from 'node:fs'
      import { judgeBundle } from 'claviger/bundle'
      const { trust, bundle } = JSON.parse(readFileSync('test/vectors/state-bundle/cases.json', 'utf8'))
      console.log((await judgeBundle(bundle, trust)).ok)`
    expect(evaluate(code)).toBe('true\n')
  })

  test.each([[[]], [['--conditions=browser']]])('gives the verifier by its third entry with %s', (flags) => {
    const code = 'import * as verifier from "claviger/attest"; console.log(Object.keys(verifier).sort().join())'
    expect(
      evaluate(code, ...flags)
        .trim()
        .split(','),
    ).toEqual([
      'Failure',
      'anyEvidenceShape',
      'appraiseEvidence',
      'assemble',
      'catalogue',
      'everyStepPassed',
      'examineEvidence',
      'explain',
      'explainFile',
      'isFailure',
      'makeCaches',
      'poolOf',
      'readPemBundle',
      'recognise',
      'referenceValuesShape',
      'verifyEar',
    ])
  })

  test('gives nothing else away', () => {
    for (const inner of ['claviger/dist/client/index.js', 'claviger/core/crypto/jwk.js', 'claviger/index.js']) {
      expect(() => evaluate(`import '${inner}'`)).toThrow('ERR_PACKAGE_PATH_NOT_EXPORTED')
    }
  })
})

/** Every file that a browser's bundler takes in from the first entry, and what it imports from outside. */
function graphOf(entry: string): { readonly files: ReadonlySet<string>; readonly outside: ReadonlySet<string> } {
  const files = new Set<string>()
  const outside = new Set<string>()
  const walk = (path: string) => {
    if (files.has(path)) return
    files.add(path)
    for (const [, name] of readFileSync(join(root, path), 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)) {
      if (name === '#crypto-backend') walk('dist/core/crypto/backend.browser.js')
      else if (name === '#spelling') walk('dist/core/bytes/spelling.browser.js')
      else if (name!.startsWith('#')) walk(`dist/${name!.slice(1)}`)
      else if (name!.startsWith('.')) walk(join(dirname(path), name!))
      else outside.add(name!)
    }
  }
  walk(entry)
  return { files, outside }
}

test('what a browser takes in reaches nothing of Node, no policy engine and no broker', () => {
  const { files, outside } = graphOf('dist/client/index.js')
  expect([...outside].filter((name) => !/^(@noble\/(hashes|post-quantum)|hpke|jose)(\/|$)/.test(name))).toEqual([])
  const folders = new Set([...files].map((path) => path.split('/')[1]))
  expect([...folders].sort()).toEqual(['attest', 'client', 'core'])
})

test('the verifier alone takes in less: attest and core, and none of its edges', () => {
  const { files, outside } = graphOf('dist/attest/index.js')
  expect([...outside].filter((name) => !/^(@noble\/hashes|hpke|jose)(\/|$)/.test(name))).toEqual([])
  expect([...files].filter((path) => !/^dist\/(core|attest)\//.test(path))).toEqual([])
  expect([...files].filter((path) => /^dist\/attest\/(service|collateral|vectors)\//.test(path))).toEqual([])
})
