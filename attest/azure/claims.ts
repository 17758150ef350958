import type { VerifiedAzureSnp, VerifiedAzureTdx, VerifiedVtpm } from '#attest/azure/verify.js'
import { type SnpClaims, snpClaims, snpMachine } from '#attest/snp/claims.js'
import { type Machine, measurementsOf } from '#attest/subject.js'
import { type TdxClaims, tdxClaims, tdxMachine } from '#attest/tdx/claims.js'
import { toHex } from '#core/bytes/bytes.js'
import { sha256Hex } from '#core/crypto/hash.js'

/** What a verified vTPM and its paravisor say, in neutral words. Byte strings are lowercase hex. */
export interface VtpmClaims {
  /** qualifying data of the quote: what binds it to a challenge */
  readonly extraData: string
  /** by index, those that were quoted; 32 bytes each */
  readonly pcrs: { readonly [index: string]: string }
  /** SHA-256 of the SubjectPublicKeyInfo of the attestation key */
  readonly attestationKey: string
  /** milliseconds for which the TPM has been powered, and how often it was reset and restarted */
  readonly clock: { readonly ms: string; readonly resetCount: number; readonly restartCount: number }
  readonly firmwareVersion: string
  /** null where the paravisor says nothing of it */
  readonly vm: {
    readonly id: string | null
    readonly secureBoot: boolean
    readonly tpmEnabled: boolean
    readonly tpmPersisted: boolean | null
    readonly consoleEnabled: boolean | null
    readonly interactiveConsoleEnabled: boolean | null
    readonly filteredVpciDevicesAllowed: boolean | null
    readonly rootCertThumbprint: string | null
  }
  /** 64 bytes that the guest asked the paravisor to put into the runtime data */
  readonly userData: string | null
}

/** Claims of the hardware, whose report data name the runtime data, and those of the vTPM. */
export interface AzureSnpClaims extends SnpClaims {
  readonly vtpm: VtpmClaims
}
export interface AzureTdxClaims extends TdxClaims {
  readonly vtpm: VtpmClaims
}

/** The machine is that of the hardware; software is named by its measurements and by the quoted PCRs. */
export function azureSnpMachine(claims: AzureSnpClaims): Machine {
  return withPcrs(snpMachine(claims), claims.vtpm)
}
export function azureTdxMachine(claims: AzureTdxClaims): Machine {
  return withPcrs(tdxMachine(claims), claims.vtpm)
}
function withPcrs(machine: Machine, { pcrs }: VtpmClaims): Machine {
  return { ...machine, ...measurementsOf(...(machine.measurements as [string]), ...Object.values(pcrs)) }
}

/** The claims of a verified report and its vTPM. */
export function azureSnpClaims({ hardware, vtpm }: VerifiedAzureSnp): AzureSnpClaims {
  return { ...snpClaims(hardware), vtpm: vtpmClaims(vtpm) }
}

/** The claims of a verified TD quote and its vTPM. */
export function azureTdxClaims({ hardware, vtpm }: VerifiedAzureTdx): AzureTdxClaims {
  return { ...tdxClaims(hardware), vtpm: vtpmClaims(vtpm) }
}

function vtpmClaims({ runtime, quote, pcrs }: VerifiedVtpm): VtpmClaims {
  const { vm } = runtime
  const { clock, resetCount, restartCount } = quote.clock
  return {
    extraData: toHex(quote.extraData),
    pcrs: Object.fromEntries([...pcrs].map(([index, value]) => [String(index), toHex(value)])),
    attestationKey: sha256Hex(runtime.ak),
    clock: { ms: clock.toString(), resetCount, restartCount },
    firmwareVersion: quote.firmwareVersion.toString(16).padStart(16, '0'),
    vm: {
      id: vm.vmUniqueId ?? null,
      secureBoot: vm['secure-boot'],
      tpmEnabled: vm['tpm-enabled'],
      tpmPersisted: vm['tpm-persisted'] ?? null,
      consoleEnabled: vm['console-enabled'] ?? null,
      interactiveConsoleEnabled: vm['interactive-console-enabled'] ?? null,
      filteredVpciDevicesAllowed: vm['filtered-vpci-devices-allowed'] ?? null,
      rootCertThumbprint: vm['root-cert-thumbprint'] ?? null,
    },
    userData: runtime.userData,
  }
}
