import { type DcapAppraisal, debug, listed, machine, platform, reportData, tcb } from '#attest/dcap/appraise.js'
import { check, trust } from '#attest/result.js'
import type { SgxClaims } from '#attest/sgx/claims.js'
import type { Check } from '#core/wire/ear.js'
import type { SgxReferenceValues } from '#core/wire/reference-values.js'

/**
 * Every comparison of verified claims with what the owner accepts. What no owner can accept, debug enclaves, a revoked
 * TCB and simulated evidence in production, is refused here in code; no reference value reaches it.
 */
export function appraiseSgx(claims: SgxClaims, input: DcapAppraisal<SgxReferenceValues>): readonly Check[] {
  const { values } = input
  return [
    platform(input),
    ...reportData(claims, input.expectedReportData),
    ...debug(claims, input),
    initialised(claims),
    ...tcb(claims, values),
    ...(values ? [enclave(claims, values), ...configuration(claims, values), ...machine(claims, values)] : []),
  ]
}

function initialised(claims: SgxClaims): Check {
  const good = claims.initialised && !claims.provisioningKeys
  return check('enclave-attributes', 'configuration', good ? trust.approved : trust.untrustworthy, {
    expected: 'an initialised enclave without access to provisioning and launch keys',
    found: good ? 'such an enclave' : `attributes ${claims.attributes}`,
    fix: 'start the enclave without the attributes PROVISION_KEY and EINITTOKEN_KEY',
  })
}

/** I4: values that name neither an enclave nor a signer accept nothing. */
function enclave(claims: SgxClaims, values: SgxReferenceValues): Check {
  const byMeasurement = values.mrEnclaves?.includes(claims.measurement) ?? false
  const bySigner = (values.signers ?? []).some(
    (one) => one.mrSigner === claims.mrSigner && one.isvProdId === claims.isvProdId && claims.isvSvn >= one.isvSvnMin,
  )
  return check('measurement', 'executables', byMeasurement || bySigner ? trust.approvedBoot : trust.untrustworthy, {
    expected: `${values.mrEnclaves?.length ?? 0} measurements or ${values.signers?.length ?? 0} signers that the owner approved`,
    found: `${claims.measurement}, product ${claims.isvProdId} version ${claims.isvSvn} of signer ${claims.mrSigner}`,
    fix: 'run an enclave that the owner approved, or ask the owner to add it',
  })
}

function configuration(claims: SgxClaims, values: SgxReferenceValues): readonly Check[] {
  return listed('config-id', 'configuration', values.configIds, claims.configId, {
    fix: 'start the enclave with a configuration id that the owner accepts',
  })
}
