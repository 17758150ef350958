import { platformCheck, reportDataCheck } from '#attest/every-kind.js'
import { check, type TenantClass, trust } from '#attest/result.js'
import type { SnpClaims } from '#attest/snp/claims.js'
import { formatTcb, partsBelow, type Tcb } from '#attest/snp/tcb.js'
import { toHex } from '#core/bytes/bytes.js'
import type { Check } from '#core/wire/ear.js'
import type { SnpReferenceValues } from '#core/wire/reference-values.js'

/** What an appraisal compares with. A null member is one that the appraisal policy leaves out by name. */
export interface SnpAppraisal {
  readonly platform: 'hardware' | 'simulated'
  readonly tenantClass: TenantClass
  readonly expectedReportData: Uint8Array | null
  readonly values: SnpReferenceValues | null
  /** whether the rule on CRLs applies */
  readonly requireCrlRule: boolean
}

/**
 * Every comparison of verified claims with what the owner accepts. What no owner can accept, debug guests and
 * simulated evidence in production, is refused here in code; no reference value reaches it.
 */
export function appraiseSnp(claims: SnpClaims, input: SnpAppraisal): readonly Check[] {
  const { values } = input
  return [
    platform(input),
    ...reportData(claims, input.expectedReportData),
    debug(claims),
    ...opacity(claims, input),
    milan(claims, values),
    ...(values ? [...executables(claims, values), ...configuration(claims, values), ...identity(claims, values)] : []),
    ...(values ? hardware(claims, values) : []),
    ...(values && input.requireCrlRule ? [revocation(claims, values)] : []),
  ]
}

function platform(input: SnpAppraisal): Check {
  return platformCheck(input, {
    expected: 'a processor that chains to a root key of AMD',
    fix: 'run on a machine with SEV-SNP; simulated evidence is for development tenants only',
  })
}

function reportData(claims: SnpClaims, expected: Uint8Array | null): readonly Check[] {
  return expected === null ? [] : [reportDataCheck(claims.reportData, toHex(expected))]
}

/** The processor encrypts a guest's memory unless the guest allows debugging. A simulation encrypts nothing. */
function opacity(claims: SnpClaims, { platform }: SnpAppraisal): readonly Check[] {
  if (platform !== 'hardware') return []
  return [
    check('memory-encryption', 'runtime-opaque', claims.debug ? trust.untrustworthy : trust.approved, {
      expected: 'memory that the host cannot read',
      found: claims.debug ? 'the host may decrypt the memory of a debug guest' : 'encrypted by the processor',
      fix: 'start the guest with a policy that does not allow debugging (bit 19 clear)',
    }),
  ]
}

function debug(claims: SnpClaims): Check {
  return check('debug', 'configuration', claims.debug ? trust.untrustworthy : trust.approved, {
    expected: 'a guest policy that forbids debugging',
    found: claims.debug ? 'debugging is allowed' : 'debugging is forbidden',
    fix: 'start the guest with a policy that does not allow debugging (bit 19 clear)',
  })
}

/** Milan's endorsement key can be recovered in software, and a report then forged at any TCB: never affirming. */
function milan(claims: SnpClaims, values: SnpReferenceValues | null): Check {
  const refused = values !== null && !values.allowMilan
  const value = refused ? trust.untrustworthy : trust.knownVulnerabilities
  return check('product-generation', 'hardware', claims.product === 'Milan' ? value : trust.approved, {
    expected: 'a generation whose endorsement key is not known to be recoverable (Genoa, Turin)',
    found: claims.product,
    fix: 'use a Genoa or Turin machine, or let the owner set allowMilan and live with the warning',
  })
}

const list = (accepted: readonly (string | number)[]) =>
  `one of ${accepted.slice(0, 8).join(', ')}${accepted.length > 8 ? ` and ${accepted.length - 8} more` : ''}`

/** A value against a list that may be absent, in which case any value is accepted and nothing is said. */
function listed(
  id: string,
  claim: Check['claim'],
  accepted: readonly (string | number)[] | undefined,
  found: string | number | null,
  text: { readonly none: string; readonly fix: string; readonly good?: number; readonly bad?: number },
): readonly Check[] {
  if (accepted === undefined) return []
  const good = found !== null && accepted.includes(found)
  const value = good ? (text.good ?? trust.approved) : (text.bad ?? trust.untrustworthy)
  return [
    check(id, claim, value, {
      expected: list(accepted),
      found: found === null ? text.none : String(found),
      fix: text.fix,
    }),
  ]
}

function executables(claims: SnpClaims, values: SnpReferenceValues): readonly Check[] {
  const svn = claims.guestSvn >= values.guestSvnMin
  return [
    ...listed('measurement', 'executables', values.measurements, claims.measurement, {
      none: '',
      good: trust.approvedBoot,
      fix: 'run an image that the owner approved, or ask the owner to add this measurement',
    }),
    check('guest-svn', 'executables', svn ? trust.approvedBoot : trust.untrustworthy, {
      expected: `at least ${values.guestSvnMin}`,
      found: String(claims.guestSvn),
      fix: 'run a newer image',
    }),
  ]
}

function configuration(claims: SnpClaims, values: SnpReferenceValues): readonly Check[] {
  const flag = (id: string, bad: boolean, expected: string, found: string, fix: string) =>
    check(id, 'configuration', bad ? trust.untrustworthy : trust.approved, { expected, found, fix })
  const { policy, platformInfo } = claims
  return [
    flag(
      'migration-agent',
      policy.migrationAgentAllowed && !values.allowMigrationAgent,
      values.allowMigrationAgent ? 'allowed or forbidden' : 'forbidden',
      policy.migrationAgentAllowed ? 'allowed' : 'forbidden',
      'start the guest with a policy that does not allow a migration agent (bit 18 clear)',
    ),
    // Allowed by the guest is not enough to leak: what counts is whether the machine runs with it.
    flag(
      'smt',
      (policy.smtAllowed || platformInfo.smtEnabled) && !values.allowSmt,
      values.allowSmt ? 'on or off' : 'off and forbidden by the guest policy',
      `${platformInfo.smtEnabled ? 'on' : 'off'}, ${policy.smtAllowed ? 'allowed' : 'forbidden'} by the guest policy`,
      'turn SMT off in the firmware and clear bit 16 of the guest policy, or let the owner set allowSmt',
    ),
    ...listed('vmpl', 'configuration', values.vmpls, claims.vmpl, {
      none: '',
      fix: 'ask for the report from a privilege level that the owner accepts',
    }),
    ...listed('host-data', 'configuration', values.hostData, claims.hostData, {
      none: '',
      fix: 'start the guest with host data that the owner accepts',
    }),
    ...listed('id-key', 'configuration', values.idKeyDigests, claims.idKeyDigest, {
      none: '',
      fix: 'start the guest with an ID block signed by a key that the owner accepts',
    }),
    ...listed('author-key', 'configuration', values.authorKeyDigests, claims.authorKeyDigest, {
      none: 'no author key',
      fix: 'start the guest with an author key that the owner accepts',
    }),
    ...listed('signing-key', 'configuration', values.signingKeys, claims.signingKey, {
      none: '',
      fix: 'ask for a report signed by a kind of key that the owner accepts',
    }),
  ]
}

function identity(claims: SnpClaims, values: SnpReferenceValues): readonly Check[] {
  return [
    ...listed('chip-id', 'instance-identity', values.chipIds, claims.chipId, {
      none: 'masked',
      bad: trust.unrecognised,
      fix: 'ask the owner to add this chip, or run on one that the owner accepts',
    }),
    ...listed('csp-id', 'instance-identity', values.cspIds, claims.cspId, {
      none: 'no provider in the certificate',
      bad: trust.unrecognised,
      fix: 'ask the owner to add this provider, or run at one that the owner accepts',
    }),
  ]
}

function hardware(claims: SnpClaims, values: SnpReferenceValues): readonly Check[] {
  const floors = values.products[claims.product]
  const known = check('product', 'hardware', floors ? trust.approved : trust.unrecognised, {
    expected: list(Object.keys(values.products)),
    found: claims.product,
    fix: 'run on a product that the owner accepts, or ask the owner for floors for this one',
  })
  const rows = floors
    ? (['reported', 'committed', 'launch'] as const).map((name) =>
        floor(`tcb-${name}`, claims.tcb[name], { fmc: null, ...floors[name] }),
      )
    : []
  return [known, ...rows, ...platformBits(claims, values)]
}

function floor(id: string, tcb: Tcb, least: Tcb): Check {
  const below = partsBelow(tcb, least)
  return check(id, 'hardware', below.length > 0 ? trust.untrustworthy : trust.approved, {
    expected: `at least ${formatTcb(least)}`,
    found: below.length > 0 ? `${formatTcb(tcb)}, too old: ${below.join(', ')}` : formatTcb(tcb),
    fix: 'update firmware and microcode, commit the update, then start the guest again',
  })
}

function platformBits(claims: SnpClaims, values: SnpReferenceValues): readonly Check[] {
  const bit = (id: string, wanted: boolean, set: boolean, fix: string) =>
    wanted
      ? [
          check(id, 'hardware', set ? trust.approved : trust.untrustworthy, {
            expected: 'yes',
            found: set ? 'yes' : 'no',
            fix,
          }),
        ]
      : []
  const { aliasCheckComplete, ciphertextHidingEnabled } = claims.platformInfo
  return [
    ...bit('alias-check', values.requireAliasCheck, aliasCheckComplete, 'update the firmware (AMD SB-3015, BadRAM)'),
    ...bit('ciphertext-hiding', values.requireCiphertextHiding, ciphertextHidingEnabled, 'turn ciphertext hiding on'),
  ]
}

function revocation(claims: SnpClaims, values: SnpReferenceValues): Check {
  const given = claims.endorsement.crlValidUntil !== null
  return check('crl', 'hardware', given || values.crl === 'when-given' ? trust.approved : trust.untrustworthy, {
    expected: values.crl === 'required' ? 'a current CRL of the vendor root' : 'a current CRL where one is given',
    found: given ? 'current, lists no certificate of the chain' : 'none',
    fix: 'send the CRL of the vendor root with the evidence',
  })
}
