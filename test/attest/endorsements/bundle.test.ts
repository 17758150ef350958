import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { loadBundle, storeBundle } from '#attest/collateral/folder.js'
import { bundleOfFiles, bundleSizeMax, encodeBundle, filesOfBundle, parseBundle } from '#attest/endorsements/bundle.js'
import type { CollateralItem } from '#attest/endorsements/item.js'
import { formatName } from '#attest/endorsements/names.js'
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'
import { answerDocument } from '#test/fakes/responder.js'
import { amdDocuments, intelDocuments, rimDocument } from '#test/fakes/vendors.js'

let items: readonly CollateralItem[]
beforeAll(async () => {
  items = [
    ...(await intelDocuments()).items,
    ...(await amdDocuments({ product: 'Turin' })).items,
    await rimDocument(),
    await answerDocument(),
  ]
})
const sorted = (all: readonly CollateralItem[]) =>
  [...all].sort((a, b) => (formatName(a.name) < formatName(b.name) ? -1 : 1))

describe('an offline bundle', () => {
  test('is the same documents as one file and as files of a folder', () => {
    expect(parseBundle(encodeBundle(items))).toEqual(sorted(items))
    expect(bundleOfFiles(filesOfBundle(items))).toEqual(sorted(items))
    expect(encodeBundle([...items].reverse())).toEqual(encodeBundle(items))
    expect([...filesOfBundle(items).keys()]).toEqual(
      expect.arrayContaining([
        'intel/root-crl.crl',
        'intel/root-crl.chain.pem',
        'intel/tdx/tcb-info/90c06f000000.json',
        'amd/turin/vcek/ask.der',
        'nvidia/rim/NV_GPU_DRIVER_GH100_550.90.07.rim',
      ]),
    )
  })

  test.each<[string, (text: string) => string]>([
    ['collateral/bundle-form', (text) => text.replace('claviger-collateral/1', 'claviger-collateral/2')],
    ['collateral/bundle-form', (text) => text.slice(0, -1)],
    ['collateral/bundle-form', (text) => text.replace('"items":[', '"more":1,"items":[')],
    [
      'collateral/bundle-form',
      (text) => text.replace('"items":[', '"items":[{"body":"","chain":[],"name":"intel/root-crl"},'),
    ],
    ['collateral/name', (text) => text.replace('intel/root-crl', 'intel/root')],
    ['collateral/bundle-form', (text) => text.replace('"body":"', '"body":"*')],
  ])('is refused with %s', (code, change) => {
    expect(codeOf(() => parseBundle(utf8(change(fromUtf8(encodeBundle(items))))))).toBe(code)
  })

  test('of documents that are too large is refused', () => {
    const large = { ...items[0]!, body: new Uint8Array(70_000) }
    expect(codeOf(() => parseBundle(encodeBundle([large])))).toBe('collateral/size')
    expect(codeOf(() => bundleOfFiles(filesOfBundle([large])))).toBe('collateral/size')
  })

  test.each(['README.md', 'intel/root-crl.der', 'intel/other.chain.pem', 'x', 'intel/root-crl', '.crl'])(
    'a stray file %s is refused',
    (path) => {
      const files = new Map([...filesOfBundle(items), [path, utf8('x')]])
      expect(codeOf(() => bundleOfFiles(files))).toBe('collateral/bundle-form')
    },
  )

  test('a chain that is no PEM, or too long, is refused', () => {
    const files = filesOfBundle(items)
    const pem = fromUtf8(files.get('intel/root-crl.chain.pem')!)
    for (const text of ['x', pem.repeat(4)]) {
      const changed = new Map([...files, ['intel/root-crl.chain.pem', utf8(text)]])
      expect(codeOf(() => bundleOfFiles(changed))).toBe('collateral/bundle-form')
    }
  })

  test('any bytes are a bundle or a Failure', () => {
    const good = encodeBundle(items.slice(0, 2))
    const onlyFailures = (bytes: Uint8Array) => {
      try {
        parseBundle(bytes)
      } catch (error) {
        if (!isFailure(error)) throw error
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), onlyFailures))
    fc.assert(
      fc.property(fc.nat(), fc.nat(255), (at, byte) => {
        const changed = good.slice()
        changed[at % changed.length] = byte
        onlyFailures(changed)
      }),
      { numRuns: 200 },
    )
  })
})

describe('on disk', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'claviger-bundle-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  test.each(['bundle.json', 'bundle'])('%s gives back what was put in, and takes more', async (name) => {
    const path = join(folder, name)
    await storeBundle(path, items.slice(0, 3))
    await storeBundle(path, items)
    expect(await loadBundle(path)).toEqual(sorted(items))
  })

  test('a link in a folder is refused', async () => {
    await storeBundle(folder, items)
    symlinkSync('/etc/hostname', join(folder, 'intel/sgx/qe-identity2.json'))
    expect(await codeOfPromise(loadBundle(folder))).toBe('collateral/bundle-form')
  })

  test('what has no end is read to the bound, and a folder of too much as well', async () => {
    expect(await codeOfPromise(loadBundle('/dev/zero'))).toBe('collateral/bundle-form')
    const half = new Uint8Array(bundleSizeMax / 2)
    for (const name of ['a', 'b', 'c']) writeFileSync(join(folder, name), half)
    await expect(loadBundle(folder)).rejects.toThrow('holds more than')
  })

  test('a deep folder is refused', async () => {
    await storeBundle(folder, items)
    const { mkdirSync } = await import('node:fs')
    mkdirSync(join(folder, 'a/b/c/d/e/f/g/h'), { recursive: true })
    writeFileSync(join(folder, 'a/b/c/d/e/f/g/h/x'), 'x')
    expect(await codeOfPromise(loadBundle(folder))).toBe('collateral/bundle-form')
  })
})
