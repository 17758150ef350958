import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { outside } from '../fakes/outside.js'
import { dcapRuns, difference, oracleVerdict, ourVerdict } from './dcap-oracle.js'

/**
 * Every difference that there is, by the name under which docs/decisions/dcap-tcb.md explains it. One that appears, and
 * one that goes away, fails.
 */
const published: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'module-components': {
    'tdx/v4-00806f-azure':
      'ours OutOfDate [INTEL-SA-00960 INTEL-SA-00982 INTEL-SA-00986], oracle refused (No matching TCB level found)',
    'tdx/v4-00806f-gcp-ccel': 'ours UpToDate [], oracle OutOfDate [INTEL-SA-00960 INTEL-SA-00982 INTEL-SA-00986]',
  },
  'crl-dates': {
    'tdx/v4-00a06d-gnr-2025 [collateral-expired]': 'ours refused (crl/expired), oracle OutOfDate []',
    'tdx/v4-20a06f-2025 [collateral-expired]': 'ours refused (crl/expired), oracle UpToDate []',
    'tdx/v4-b0c06f-dstack-2025 [collateral-expired]': 'ours refused (crl/expired), oracle UpToDate []',
    'sgx/v3-00606a-2025 [before-valid]': 'ours refused (crl/not-yet-valid), oracle SWHardeningNeeded [INTEL-SA-00615]',
  },
}

const minted: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'module-components': {
    'tdx/advisory-not-accepted': 'ours OutOfDate [INTEL-SA-01099], oracle OutOfDate [INTEL-SA-00960]',
    'tdx/module-components-left-to-its-identity': 'ours UpToDate [], oracle OutOfDate [INTEL-SA-00960]',
    'tdx/module-out-of-date': 'ours OutOfDate [INTEL-SA-01099], oracle OutOfDate [INTEL-SA-00960]',
    'tdx/no-relaunch-while-the-host-is-old': 'ours OutOfDate [INTEL-SA-01099], oracle OutOfDate [INTEL-SA-00960]',
  },
  'level-order': { 'tdx/levels-out-of-order': 'ours UpToDate [], oracle OutOfDate []' },
  'both-configuration': {
    'tdx/out-of-date-configuration-needed':
      'ours OutOfDateConfigurationNeeded [INTEL-SA-00289], oracle OutOfDate [INTEL-SA-00289]',
  },
  relaunch: {
    'tdx/relaunch-advised': 'ours TDRelaunchAdvised [INTEL-SA-01099], oracle OutOfDate [INTEL-SA-00960]',
    'tdx/relaunch-and-configuration-advised':
      'ours TDRelaunchAdvisedConfigurationNeeded [INTEL-SA-01099], oracle refused (No matching TCB level found)',
  },
  'module-identity': {
    'tdx/module-of-another-signer': 'ours refused (tdx/module-signer), oracle UpToDate []',
    'tdx/module-that-is-not-listed': 'ours refused (tdx/module-identity), oracle UpToDate []',
    'tdx/module-with-attributes': 'ours refused (tdx/module-attributes), oracle UpToDate []',
  },
  'crl-dates': {
    'tdx/pck-crl-stale': 'ours refused (crl/expired), oracle UpToDate []',
    'tdx/root-crl-stale': 'ours refused (crl/expired), oracle UpToDate []',
  },
  'crl-signature': { 'tdx/pck-crl-of-another-authority': 'ours refused (crl/issuer-name), oracle UpToDate []' },
  'crl-floor': { 'tdx/root-crl-older-than-the-floor': 'ours refused (dcap/crl-floor), oracle UpToDate []' },
  'tcb-floor': {
    'tdx/identity-of-an-older-edition': 'ours refused (dcap/tcb-floor), oracle UpToDate []',
    'tdx/tcb-info-of-an-older-edition': 'ours refused (dcap/tcb-floor), oracle UpToDate []',
    'tdx/tcb-info-older-than-one-of-its-edition': 'ours refused (dcap/tcb-floor), oracle UpToDate []',
  },
  'pce-id': { 'tdx/tcb-info-of-another-pce': 'ours refused (dcap/pce-id), oracle UpToDate []' },
  'certificate-names': {
    'tdx/authority-with-another-name': 'ours refused (dcap/certificate-name), oracle UpToDate []',
    'tdx/signer-with-another-name': 'ours refused (dcap/certificate-name), oracle UpToDate []',
  },
  'quote-form': {
    'tdx/another-vendor': 'ours refused (dcap/qe-vendor), oracle UpToDate []',
    'tdx/body-of-another-size': 'ours refused (dcap/body), oracle UpToDate []',
    'tdx/byte-inside-signature-data': 'ours refused (dcap/length), oracle UpToDate []',
    'tdx/no-wrapper': 'ours refused (dcap/certification-data), oracle UpToDate []',
    'sgx/signature-data-go-on': 'ours refused (dcap/length), oracle UpToDate []',
  },
  'canonical-der': {
    'tdx/pck-certificate-with-a-length-of-more-bytes': 'ours refused (x509/form), oracle UpToDate []',
    'tdx/pck-certificate-without-a-length': 'ours refused (x509/form), oracle UpToDate []',
    'tdx/tcb-signing-certificate-with-a-length-of-more-bytes': 'ours refused (x509/form), oracle UpToDate []',
    'tdx/tcb-signing-certificate-without-a-length': 'ours refused (x509/form), oracle UpToDate []',
    'tdx/pck-crl-with-a-length-of-more-bytes': 'ours refused (crl/form), oracle UpToDate []',
    'tdx/root-crl-without-a-length': 'ours refused (crl/form), oracle UpToDate []',
    'sgx/pck-certificate-with-a-length-of-more-bytes': 'ours refused (x509/form), oracle UpToDate []',
    'sgx/pck-certificate-without-a-length': 'ours refused (x509/form), oracle UpToDate []',
    'sgx/tcb-signing-certificate-with-a-length-of-more-bytes': 'ours refused (x509/form), oracle UpToDate []',
    'sgx/tcb-signing-certificate-without-a-length': 'ours refused (x509/form), oracle UpToDate []',
    'sgx/pck-crl-with-a-length-of-more-bytes': 'ours refused (crl/form), oracle UpToDate []',
    'sgx/root-crl-without-a-length': 'ours refused (crl/form), oracle UpToDate []',
  },
  'members-twice': {
    'tdx/identity-with-a-member-twice': 'ours refused (dcap/collateral-form), oracle UpToDate []',
    'tdx/level-with-a-member-twice': 'ours refused (dcap/collateral-form), oracle UpToDate []',
    'tdx/tcb-info-with-a-member-twice': 'ours refused (dcap/collateral-form), oracle UpToDate []',
    'sgx/identity-with-a-member-twice': 'ours refused (dcap/collateral-form), oracle UpToDate []',
    'sgx/level-with-a-member-twice': 'ours refused (dcap/collateral-form), oracle UpToDate []',
    'sgx/tcb-info-with-a-member-twice': 'ours refused (dcap/collateral-form), oracle UpToDate []',
  },
  'qe-report-data': { 'tdx/qe-report-data-goes-on': 'ours refused (dcap/attestation-key), oracle UpToDate []' },
  'auth-length': { 'tdx/auth-of-5-bytes': 'ours UpToDate [], oracle refused (QE report hash mismatch)' },
  'identity-version-3': { 'tdx/identity-version-3': 'ours refused (dcap/collateral-form), oracle UpToDate []' },
  'attributes-left-to-the-owner': {
    'tdx/migratable-td': 'ours UpToDate [], oracle refused (Reserved bits in TD attributes are set)',
    'tdx/sept-ve-not-disabled': 'ours UpToDate [], oracle refused (SEPT_VE_DISABLE is not enabled)',
    'tdx/service-td': 'ours UpToDate [], oracle refused (Invalid mr service td)',
    'tdx/service-td-accepted': 'ours UpToDate [], oracle refused (Invalid mr service td)',
  },
  'enclave-attributes': {
    'sgx/enclave-with-provisioning-key': 'ours refused (enclave-attributes), oracle UpToDate []',
  },
  'kind-of-evidence': {
    'tdx/enclave-sent-as-a-td': 'ours refused (tdx/body), oracle UpToDate []',
    'sgx/td-sent-as-an-enclave': 'ours refused (sgx/body), oracle UpToDate []',
  },
  'event-log': {
    'tdx/digest-of-another-payload': 'ours refused (tdx/event-log-form), oracle UpToDate []',
    'tdx/log-cut-off': 'ours refused (tdx/event-log-form), oracle UpToDate []',
    'tdx/log-goes-on-after-its-filler': 'ours refused (tdx/event-log-form), oracle UpToDate []',
    'tdx/log-without-its-last-event': 'ours refused (tdx/event-log-replay), oracle UpToDate []',
  },
}

async function differencesBelow(folder: string) {
  const runs = (['tdx', 'sgx'] as const).flatMap((tee) => dcapRuns(join(folder, tee), tee))
  const found: Record<string, string> = {}
  let accepted = 0
  for (const run of runs) {
    const [ours, theirs] = [await ourVerdict(run), oracleVerdict(run)]
    const differs = difference(ours, theirs)
    if (differs !== null) found[run.name] = differs
    else if (ours.kind === 'accepted') accepted++
  }
  return { runs: runs.length, accepted, found }
}
const flat = (table: typeof minted) => Object.assign({}, ...Object.values(table)) as Readonly<Record<string, string>>

describe('our verdicts on DCAP quotes and those of another verifier', () => {
  test('on minted cases: every difference is explained, and no explanation is left over', async () => {
    const { runs, accepted, found } = await differencesBelow(join(import.meta.dirname, '../vectors'))
    expect(found).toEqual(flat(minted))
    // Both accept, with the same status and advisories: or the comparison would say nothing.
    expect({ many: runs > 100, accepted: accepted > 25 }).toEqual({ many: true, accepted: true })
  })

  const vectors = outside('vectors')
  test.skipIf(vectors === undefined)('on published captures, variants included', async () => {
    const { runs, accepted, found } = await differencesBelow(vectors!)
    expect(found).toEqual(flat(published))
    expect({ runs, accepted: accepted >= 7 }).toEqual({ runs: 78, accepted: true })
  })

  test('each name is a row of the page, and each row a name', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/decisions/dcap-tcb.md'), 'utf8')
    const section = page.split(/^## /m).find((one) => one.startsWith('Where another verifier')) ?? ''
    const rows = [...section.matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map((found) => found[1]!)
    const names = new Set([...Object.keys(published), ...Object.keys(minted)])
    expect(rows.toSorted()).toEqual([...names].sort())
  })
})
