import { Failure } from '#core/failure.js'
import { createKekFile, openKekFile } from '#keybroker/kek/file.js'
import type { KekCode, OpenKek } from '#keybroker/kek/kek.js'
import { createPkcs11Kek, openPkcs11Kek } from '#keybroker/kek/pkcs11/provider.js'
import type { KekSetting, ReleasedSetting } from '#keybroker/kek/setting.js'
import { createVaultKek, openVaultKek } from '#keybroker/kek/vault/provider.js'

/** What a key is opened with, beside its setting. */
export interface KekPorts {
  /** told of what fails between two uses, and is tried again: a token of Vault that cannot be renewed, a broker that is away */
  readonly onTrouble?: (failure: Failure) => void
  /** proves this machine to the broker that releases the key; absent: nothing here can. @throws kek/not-released, kek/setting */
  readonly obtain?: (setting: ReleasedSetting, onTrouble: (failure: Failure) => void) => Promise<OpenKek>
}

/**
 * The key of a setting, for use until it is closed. It must be there: none is ever made on the way.
 *
 * throws  kek/..., file/...
 */
export async function openKek(setting: KekSetting, { onTrouble, obtain }: KekPorts = {}): Promise<OpenKek> {
  switch (setting.provider) {
    case 'file':
      return openKekFile(setting.path)
    case 'pkcs11':
      return openPkcs11Kek(setting)
    case 'vault':
      return openVaultKek(setting, onTrouble === undefined ? {} : { onTrouble })
    case 'broker': {
      if (obtain !== undefined) return obtain(setting, onTrouble ?? (() => undefined))
      const message = 'the key-encryption key is released to evidence alone, and nothing here makes any'
      const hint = 'run it in a TEE; or add --dangerous-allow-simulated, NOT HARDWARE, for development only'
      throw new Failure<KekCode>('kek/attester', message, { detail: { hint } })
    }
  }
}

/** A new key stands where the setting says; returns its id. The operator's explicit act. @throws kek/..., file/... */
export async function createKek(setting: KekSetting): Promise<string> {
  switch (setting.provider) {
    case 'file':
      return createKekFile(setting.path)
    case 'pkcs11':
      return createPkcs11Kek(setting)
    case 'vault':
      return createVaultKek(setting)
    case 'broker': {
      const message = 'a key that a broker releases is made and registered by its owner, not by who gets it'
      const hint =
        'its owner: ./claviger keybroker kek seal --out kek-sealed --keys keys --name kek, then ./claviger register'
      throw new Failure<KekCode>('kek/setting', message, { detail: { hint } })
    }
  }
}
