import type { Failure } from '#core/failure.js'
import { createKekFile, openKekFile } from '#keybroker/kek/file.js'
import type { OpenKek } from '#keybroker/kek/kek.js'
import { createPkcs11Kek, openPkcs11Kek } from '#keybroker/kek/pkcs11/provider.js'
import type { KekSetting } from '#keybroker/kek/setting.js'
import { createVaultKek, openVaultKek } from '#keybroker/kek/vault/provider.js'

/**
 * The key of a setting, for use until it is closed. It must be there: none is ever made on the way.
 *
 * onTrouble  told of what fails between two uses, and is tried again: a token of Vault that cannot be renewed
 * throws     kek/..., file/...
 */
export function openKek(setting: KekSetting, onTrouble?: (failure: Failure) => void): Promise<OpenKek> {
  switch (setting.provider) {
    case 'file':
      return openKekFile(setting.path)
    case 'pkcs11':
      return openPkcs11Kek(setting)
    case 'vault':
      return openVaultKek(setting, onTrouble === undefined ? {} : { onTrouble })
  }
}

/** A new key stands where the setting says; returns its id. The operator's explicit act. @throws kek/..., file/... */
export function createKek(setting: KekSetting): Promise<string> {
  switch (setting.provider) {
    case 'file':
      return createKekFile(setting.path)
    case 'pkcs11':
      return createPkcs11Kek(setting)
    case 'vault':
      return createVaultKek(setting)
  }
}
