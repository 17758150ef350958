import type { Product } from '#attest/snp/layout.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { UnixSeconds } from '#core/time.js'
import type { ReferenceValues, SnpReferenceValues } from '#core/wire/reference-values.js'
import { issueAuthority, type SimulatedAuthority } from '#runtime/attester/simulated/authority.js'
import type { MintKey } from '#runtime/attester/simulated/certificate.js'
import {
  createSimulatedPlatform,
  type SimulatedPlatform,
  type SimulatedPlatformOptions,
} from '#runtime/attester/simulated/platform.js'
import { productDefaults } from '#runtime/attester/simulated/report.js'
import keys from './throwaway-keys.json' with { type: 'json' }

/** The time at which tests that choose their own time take place: 2026-05-28T20:26:40Z. */
export const testTime: UnixSeconds = 1_780_000_000
export const testMeasurement = 'ab'.repeat(48)

const read = (key: { pkcs8: string; spki: string }): MintKey => ({
  pkcs8: fromBase64(key.pkcs8),
  spki: fromBase64(key.spki),
})
/** Keys of throwaway vendors; `other` is that of a vendor whom nobody names. */
export const throwawayKeys = {
  ark: read(keys.ark),
  ask: read(keys.ask),
  other: read(keys.other),
  chip: read(keys.chip),
}

/** A throwaway vendor whose keys stand in this repository: quick, since it makes no RSA key. */
export function testAuthority(product: Product = 'Genoa', at: UnixSeconds = testTime): Promise<SimulatedAuthority> {
  return issueAuthority(product, throwawayKeys.ark, throwawayKeys.ask, at)
}

const cache = new Map<string, Promise<SimulatedPlatform>>()

/** A simulated machine under the throwaway vendor. The same options give the same machine within one test file. */
export function testPlatform(options: Partial<SimulatedPlatformOptions> = {}): Promise<SimulatedPlatform> {
  const { at = testTime, product = 'Genoa', measurement = testMeasurement, ...rest } = options
  const key = JSON.stringify({ at, product, measurement, ...rest }, (_, value) =>
    typeof value === 'bigint' ? value.toString() : value,
  )
  const known = cache.get(key)
  if (known) return known
  const made = testAuthority(product, at).then((authority) =>
    createSimulatedPlatform({ at, measurement, authority, ...rest }),
  )
  cache.set(key, made)
  return made
}

/** Reference values that the machine of testPlatform meets, each of them as strict as it can be. */
export function testReferenceValues(overrides: Partial<SnpReferenceValues> = {}): ReferenceValues {
  const floors = <P extends Product>(product: P) => {
    const { fmc = 0, ...tcb } = productDefaults[product].tcb
    const floor = product === 'Turin' ? { fmc, ...tcb } : tcb
    return { reported: floor, committed: floor, launch: floor }
  }
  return {
    snp: {
      measurements: [testMeasurement],
      hostData: ['00'.repeat(32)],
      idKeyDigests: undefined,
      authorKeyDigests: undefined,
      chipIds: undefined,
      cspIds: undefined,
      signingKeys: ['VCEK'],
      vmpls: [0],
      guestSvnMin: 0,
      products: {
        Milan: floors('Milan'),
        Genoa: floors('Genoa'),
        Turin: floors('Turin') as NonNullable<SnpReferenceValues['products']['Turin']>,
      },
      allowMilan: false,
      allowSmt: false,
      allowMigrationAgent: false,
      requireAliasCheck: true,
      requireCiphertextHiding: false,
      crl: 'required',
      ...overrides,
    },
  }
}

/** The digest of the throwaway root: what a development tenant would have to name. */
export const testRootDigest = toHex(sha256(throwawayKeys.ark.spki))
