import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { appraiseEvidence } from '#attest/appraise.js'
import { parseReport } from '#attest/snp/parse.js'
import { vendorRoots } from '#attest/snp/roots.js'
import { fromBase64, fromHex, fromUtf8, toHex, utf8 } from '#core/bytes/bytes.js'
import { commonName, parseCertificate } from '#core/x509/certificate.js'
import { createAuthority } from '#runtime/attester/simulated/authority.js'
import { measureRuntime } from '#runtime/attester/simulated/measure.js'
import { createSimulatedPlatform, exportPlatform, importPlatform } from '#runtime/attester/simulated/platform.js'
import { testMeasurement, testPlatform, testReferenceValues, testTime } from '../../fakes/platform.js'

const reportData = new Uint8Array(64).map((_, i) => i)
const appraise = (evidence: Parameters<typeof appraiseEvidence>[0], root: string, at = testTime) =>
  appraiseEvidence(
    evidence,
    { simulatedRoots: [root] },
    { expectedReportData: reportData, referenceValues: testReferenceValues(), tenantClass: 'development', at },
  )

describe('a simulated machine', () => {
  test('with keys of its own, made here, is verified by the true path', async () => {
    const authority = await createAuthority('Turin', testTime)
    const platform = await createSimulatedPlatform({ authority, at: testTime, measurement: testMeasurement })
    expect(vendorRoots.has(platform.rootDigest)).toBe(false)
    const evidence = await platform.attest(reportData)
    expect(await appraise(evidence, platform.rootDigest)).toMatchObject({ status: 'warning', platform: 'simulated' })
    const root = parseCertificate(fromBase64(evidence.ark))
    expect(fromUtf8(root.subject.slice(-13))).toBe('ARK-SIMULATED')
    expect(commonName(root.subject)).toBe('ARK-SIMULATED')
    expect(fromUtf8(root.subject.filter((byte) => byte < 0x80))).toContain('NOT HARDWARE')
  })

  test('binds the 64 bytes it is given, and carries what the guest was started with', async () => {
    const platform = await testPlatform({ hostData: 'cd'.repeat(32), guestSvn: 3 })
    const report = parseReport(fromBase64((await platform.attest(reportData)).report))
    expect(report.bytesOf('reportData')).toEqual(reportData)
    expect(toHex(report.bytesOf('hostData'))).toBe('cd'.repeat(32))
    expect(report.guestSvn).toBe(3)
    await expect(platform.attest(new Uint8Array(48))).rejects.toThrow(/assertion failed/)
  })

  test('two machines under one vendor have chips of their own', async () => {
    const first = await testPlatform()
    const second = await createSimulatedPlatform({
      authority: first.authority,
      at: testTime,
      measurement: testMeasurement,
    })
    expect(toHex(first.chipId)).not.toBe(toHex(second.chipId))
    const evidence = await first.attest(reportData)
    const spliced = { ...evidence, vek: (await second.attest(reportData)).vek }
    expect(await appraise(spliced, first.rootDigest)).toMatchObject({ failure: 'snp/signature' })
  })

  test('comes back from its state as the same chip, with a CRL of its new day', async () => {
    const platform = await testPlatform()
    const later = testTime + 700 * 86_400
    const state = exportPlatform(platform)
    const again = await importPlatform(state, { measurement: testMeasurement, at: later })
    expect(again.rootDigest).toBe(platform.rootDigest)
    expect(again.chipId).toEqual(platform.chipId)
    expect(await appraise(await again.attest(reportData), again.rootDigest, later)).toMatchObject({ status: 'warning' })
    expect(await appraise(await platform.attest(reportData), platform.rootDigest, later)).toMatchObject({
      failure: 'crl/expired',
    })
    expect(exportPlatform(again)).toEqual(state)
    const broken = utf8(fromUtf8(state).replace('NOT HARDWARE', 'HARDWARE'))
    await expect(importPlatform(broken, { measurement: testMeasurement, at: later })).rejects.toMatchObject({
      code: 'shape/form',
    })
  })
})

describe('measureRuntime', () => {
  const folder = mkdtempSync(join(tmpdir(), 'claviger-measure-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  function build(name: string): string {
    const root = join(folder, name)
    mkdirSync(join(root, 'core/bytes'), { recursive: true })
    mkdirSync(join(root, 'runtime'))
    writeFileSync(join(root, 'core/bytes/bytes.js'), 'a')
    writeFileSync(join(root, 'runtime/main.js'), 'b')
    return root
  }

  test('is a function of paths and contents below core and runtime alone', async () => {
    const first = await measureRuntime(build('first'))
    expect(fromHex(first)).toHaveLength(48)
    const second = build('second')
    mkdirSync(join(second, 'cli'))
    writeFileSync(join(second, 'cli/main.js'), 'c')
    expect(await measureRuntime(second)).toBe(first)
    writeFileSync(join(second, 'runtime/main.js'), 'B')
    expect(await measureRuntime(second)).not.toBe(first)
  })

  test('is what the doc comment says, byte for byte', async () => {
    const { createHash } = await import('node:crypto')
    const sha = (text: string) => createHash('sha384').update(text).digest('hex')
    const lines = `${sha('a')}  core/bytes/bytes.js\n${sha('b')}  runtime/main.js\n`
    expect(await measureRuntime(build('third'))).toBe(sha(lines))
  })

  test.each([
    ['a folder that is not there', (root: string) => rmSync(join(root, 'runtime'), { recursive: true })],
    ['a symbolic link', (root: string) => symlinkSync('/etc/hostname', join(root, 'core/link.js'))],
  ])('refuses %s', async (name, change) => {
    const root = build(name.replaceAll(' ', '-'))
    change(root)
    await expect(measureRuntime(root)).rejects.toMatchObject({ code: 'attester/measure' })
  })
})
