import { check, type Platform, type TenantClass, trust } from '#attest/result.js'
import type { Check } from '#core/wire/ear.js'

/** What a host or owner reads when evidence came from no machine of the kind. */
export interface PlatformWords {
  readonly expected: string
  readonly simulated?: string
  readonly fix: string
}

/**
 * I6: simulated evidence is a warning for a development tenant, never better, and refused for any other class, also for one
 * that is none. Every kind makes this comparison with these values; the words alone are its own.
 */
export function platformCheck(
  { platform, tenantClass }: { readonly platform: Platform; readonly tenantClass: TenantClass },
  { expected, simulated = 'simulated evidence under a throwaway root', fix }: PlatformWords,
): Check {
  const throwaway = tenantClass === 'development' ? trust.knownVulnerabilities : trust.unrecognised
  return check('platform', 'hardware', platform === 'hardware' ? trust.approved : throwaway, {
    expected,
    found: platform === 'hardware' ? 'hardware' : `NOT HARDWARE: ${simulated}`,
    fix,
  })
}

/** What evidence carries of the caller's bytes, whole and in hex, is what was asked for. */
export function reportDataCheck(
  found: string,
  wanted: string,
  fix = 'send evidence for this challenge: nonce, keys, devices, settings and trust are all bound into it',
): Check {
  return check('report-data', 'configuration', found === wanted ? trust.approved : trust.verificationFailed, {
    expected: wanted,
    found: found === '' ? 'none' : found,
    fix,
  })
}
