import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AttestVerifyArguments } from '#cli/attest/verify.js'
import { fromBase64, toBase64, toHex } from '#core/bytes/bytes.js'
import { encodePem } from '#core/encoding/pem.js'
import { formatTime } from '#core/time.js'
import type { AnyEvidence } from '#core/wire/evidence.js'
import { mintAzureEvidence } from '#test/fakes/azure.js'
import { ccaKeyDigests, mintCcaEvidence } from '#test/fakes/cca.js'
import { mintComposite } from '#test/fakes/composite.js'
import { dcapRootDigest, mintDcapEvidence } from '#test/fakes/dcap.js'
import { gpuRootDigest, mintGpuEvidence, single } from '#test/fakes/gpu.js'
import { testGpuValues } from '#test/fakes/gpu-vectors.js'
import { mintNitroEvidence, nitroRootDigest } from '#test/fakes/nitro.js'
import { testReferenceValues, testRootDigest, testTime } from '#test/fakes/platform.js'
import { makePublisher, signedSet, signedStatement, statementOf } from '#test/fakes/reference.js'
import { mintEvidence, mintedReportData } from '#test/fakes/snp.js'
import { writeTrustFile } from '#test/fakes/trust-file.js'

/** The arguments of `claviger attest verify`; the console's form takes the same, with the files of the folder one by one. */
export interface Sample extends AttestVerifyArguments {
  readonly name: string
}

export const filesOfFolder = (folder: string) => readdirSync(folder).map((name) => join(folder, name))

/** Minted evidence of every kind, with something to pass, to skip and to fail. */
export async function mintedSamples(work: string): Promise<readonly Sample[]> {
  const write = (name: string, content: Uint8Array | string) => {
    writeFileSync(join(work, name), content)
    return join(work, name)
  }
  const json = (name: string, value: unknown) => write(name, JSON.stringify(value))
  const common = {
    simulatedRoot: [testRootDigest, dcapRootDigest, nitroRootDigest, gpuRootDigest, ...ccaKeyDigests],
    dangerousAllowSimulated: true,
    at: formatTime(testTime),
  }
  const snp = await mintEvidence()
  const report = fromBase64(snp.report)
  const folder = join(work, 'beside')
  mkdirSync(folder)
  for (const name of ['vek', 'ask', 'ark'] as const) write(`beside/${name}.der`, fromBase64(snp[name]))
  const broken = fromBase64(snp.report)
  broken[0x90]! ^= 1
  const composite = await mintComposite('snp', [{}])
  const others: readonly AnyEvidence[] = [
    await mintDcapEvidence(),
    await mintDcapEvidence({ tee: 'sgx' }),
    await mintNitroEvidence(),
    await mintAzureEvidence(),
    await mintAzureEvidence({ hardware: 'tdx' }),
    await mintGpuEvidence(single()),
    await mintCcaEvidence(),
  ]
  const values = json('values.json', testReferenceValues())
  const { signingKey, publisher } = await makePublisher('line')
  // The browser has a clock of its own.
  const set = await signedSet(signingKey, { issuedAt: 1_600_000_000, expiresAt: 4_000_000_000 })
  const statement = await signedStatement(signingKey, statementOf(readFileSync(values)))
  const trust = join(work, 'trust.json')
  await writeTrustFile(trust, { runtimePublishers: [publisher], simulatedRoots: [testRootDigest] })
  const pem = [
    encodePem(report, 'SNP REPORT'),
    ...[snp.vek, snp.ask, snp.ark].map((one) => encodePem(fromBase64(one), 'CERTIFICATE')),
  ]
  const full = { ...common, file: json('snp.json', snp), reportData: toHex(mintedReportData), referenceValues: values }
  return [
    { ...full, name: 'everything passes, on what is simulated' },
    { ...full, name: 'simulated, and not allowed', dangerousAllowSimulated: false },
    { ...full, name: 'other report data', reportData: '08'.repeat(64) },
    { ...full, name: 'a broken report', file: json('broken.json', { ...snp, report: toBase64(broken) }) },
    { ...full, name: 'expired', at: '2090-01-01T00:00:00Z' },
    { ...common, name: 'a raw report without a list', file: write('report.bin', report), collateral: folder },
    { ...full, name: 'a signed set', referenceValues: write('set.json', set), trust },
    { ...full, name: 'a statement', referenceValues: write('statement.json', statement), values, trust },
    { ...common, name: 'a nonce', file: json('answers.json', others[2]), nonce: 'ab'.repeat(32) },
    { ...full, name: 'in PEM', file: write('bundle.pem', pem.join('')) },
    { ...full, name: 'in hex', file: write('report.hex', toHex(report)), collateral: folder },
    {
      ...common,
      name: 'a machine with a device',
      file: json('composite.json', composite.evidence),
      binding: json('binding.json', composite.binding),
      referenceValues: json('both.json', { ...testReferenceValues(), ...testGpuValues() }),
    },
    ...others.map((one) => ({
      ...common,
      name: one.kind,
      file: json(`${one.kind}.json`, one),
      referenceValues: values,
    })),
  ]
}

/** Published evidence of real hardware, one of each kind and some that is bad. */
export function publishedSamples(vectors: string): readonly Sample[] {
  const cases = {
    'sev-snp/genoa-v3-azure': 'report.bin',
    'sev-snp/milan-v2-vcek': 'report.bin',
    'sev-snp/milan-wrong-vcek-new': 'report.bin',
    'tdx/v4-90c06f-dstack-eventlog': 'quote.bin',
    'sgx/v3-00606a-2025': 'quote.bin',
    'nitro/prod-2022-evervault': 'document.cbor',
    'nitro/bad-signature-2022-veracruz': 'document.cbor',
    'azure-vtpm/snp-milan-v1': 'hcl-report.bin',
    'azure-vtpm/tdx-v1': 'hcl-report.bin',
    'nvidia-gpu/gh100-550.90.07-full': 'report.bin',
    'nvidia-gpu/gh100-multi4-590.12': 'gpu0-report.bin',
    'arm-cca/coco-fvp': 'token.cbor',
  }
  return Object.entries(cases).map(([name, file]) => {
    const folder = join(vectors, name)
    const { validAt } = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as { validAt: string }
    return { name, file: join(folder, file), collateral: folder, at: validAt }
  })
}
