import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isFailure } from '#core/failure.js'
import { kekForms, parseKekSetting } from '#keybroker/kek/setting.js'

const module = 'module-path=/usr/lib/m.so'
const pin = 'pin-source=file:/run/pin'
const vaultKey = 'vault:https://v.example/transit/keys/k'
const vaultToken = 'token-source=file:/run/token'

/** The code and the line that mends it. */
function refusal(text: string): { code: string; message: string; hint: string } {
  try {
    parseKekSetting(text)
  } catch (error) {
    if (!isFailure(error)) throw error
    return { code: error.code, message: error.message, hint: String(error.detail?.hint) }
  }
  throw new Error(`${text} was taken`)
}

describe('what --kek names', () => {
  test('the forms that are shown are taken', () => {
    expect(parseKekSetting(kekForms.file)).toEqual({ provider: 'file', path: '/etc/claviger/kek.key' })
    expect(parseKekSetting(kekForms.pkcs11)).toEqual({
      provider: 'pkcs11',
      modulePath: '/usr/lib/softhsm/libsofthsm2.so',
      token: { label: 'claviger', serial: null },
      object: { label: 'kek', id: null },
      pinFile: '/etc/claviger/pin',
    })
  })

  test('an address of Vault, alone and with everything', () => {
    expect(parseKekSetting(kekForms.vault)).toEqual({
      provider: 'vault',
      address: 'https://vault.example:8200',
      mount: 'transit',
      key: 'claviger',
      namespace: null,
      tokenFile: '/run/vault/token',
      caFile: '/etc/claviger/vault-ca.pem',
    })
    const all = 'vault:https://v.example/team/a/transit/keys/k.1?namespace=x/y/&token-source=/t&ca=/c'
    expect(parseKekSetting(all)).toMatchObject({ mount: 'team/a/transit', key: 'k.1', namespace: 'x/y', caFile: '/c' })
    const here = 'vault:http://[::1]:8200/transit/keys/k?token-source=/t'
    expect(parseKekSetting(here)).toMatchObject({ address: 'http://[::1]:8200', caFile: null })
  })

  test('brokers that release the key, alone and with everything', () => {
    const one = { provider: 'broker', urls: ['https://a.example'], sealed: '/etc/claviger/kek-sealed' }
    expect(parseKekSetting(kekForms.broker)).toEqual({ ...one, trustStatement: null, hostStatement: null })
    const text =
      'broker:https://a.example,http://b.example:8780/?sealed=/k&trust-statement=file:/t.json&host-statement=/h%20.json'
    expect(parseKekSetting(text)).toEqual({
      provider: 'broker',
      urls: ['https://a.example', 'http://b.example:8780'],
      sealed: '/k',
      trustStatement: '/t.json',
      hostStatement: '/h .json',
    })
  })

  test.each([
    ['no address', 'broker:?sealed=/k', 'no URL'],
    ['another scheme', 'broker:ftp://a.example?sealed=/k', 'no URL'],
    ['a path', 'broker:https://a.example/v1?sealed=/k', 'has a path'],
    ['a password', 'broker:https://u:p@a.example?sealed=/k', 'a user or a password'],
    ['one broker twice', 'broker:https://a.example,https://a.example?sealed=/k', 'named twice'],
    ['no folder', 'broker:https://a.example', 'sealed is absent'],
    ['a folder that depends on where it is started', 'broker:https://a.example?sealed=file:k', 'not absolute'],
    ['what is not known', 'broker:https://a.example?sealed=/k&insecure=1', 'expected sealed'],
  ])('a broker is refused: %s', (_, text, message) => {
    expect(refusal(text)).toMatchObject({ code: 'kek/setting', message: expect.stringContaining(message) })
  })

  test('a PKCS #11 URI with every attribute, percent-encoded', () => {
    const text = `pkcs11:token=My%20token;serial=0a1B;object=%C3%A4;id=%01a%fF;type=secret-key?${module}&pin-source=/run/pin`
    expect(parseKekSetting(text)).toEqual({
      provider: 'pkcs11',
      modulePath: '/usr/lib/m.so',
      token: { label: 'My token', serial: '0a1B' },
      object: { label: 'ä', id: Uint8Array.of(1, 0x61, 0xff) },
      pinFile: '/run/pin',
    })
  })

  test.each([
    ['nothing', '', 'names none', 'file:'],
    ['a path alone', '/etc/kek', 'names none', 'pkcs11:token='],
    ['another scheme', 'aws:key', 'names none', 'file:'],
    ['a relative file', 'file:kek', 'not absolute', 'file:/etc/claviger/kek.key'],
    ['a PIN on the command line', `pkcs11:token=a;object=b?${module}&pin-value=1234`, 'pin-value', 'mode 0600'],
    ['no token', `pkcs11:object=b?${module}&${pin}`, 'no token is named', 'token='],
    ['no key', `pkcs11:token=a?${module}&${pin}`, 'no key is named', 'object='],
    ['no module', `pkcs11:token=a;object=b?${pin}`, 'module-path is absent', 'module-path='],
    ['no PIN file', `pkcs11:token=a;object=b?${module}`, 'pin-source is absent', 'pin-source='],
    ['a relative module', `pkcs11:token=a;object=b?module-path=m.so&${pin}`, 'not absolute', 'pkcs11:'],
    ['a command as a PIN source', `pkcs11:token=a;object=b?${module}&pin-source=|cmd`, 'not absolute', 'pin-source='],
    ['an attribute twice', `pkcs11:token=a;token=b;object=b?${module}&${pin}`, 'twice', 'pkcs11:'],
    ['an empty attribute', `pkcs11:token=;object=b?${module}&${pin}`, 'token is empty', 'pkcs11:'],
    ['an unknown attribute', `pkcs11:token=a;object=b;slot-id=1?${module}&${pin}`, '"slot-id"', 'pkcs11:'],
    ['another type of object', `pkcs11:token=a;object=b;type=private?${module}&${pin}`, 'not secret-key', 'type'],
    ['half an escape', `pkcs11:token=%E4;object=b?${module}&${pin}`, 'UTF-8', '%25'],
    ['an id that is no bytes', `pkcs11:token=a;id=%zz?${module}&${pin}`, 'percent-encoded', '%XX'],
    ['a label of 33 bytes', `pkcs11:token=${'a'.repeat(33)};object=b?${module}&${pin}`, '32 bytes', 'pkcs11:'],
    ['Vault in the clear', `vault:http://vault.example/transit/keys/k?${vaultToken}`, 'in the clear', 'https://'],
    ['a name for this machine', `vault:http://localhost/transit/keys/k?${vaultToken}`, 'in the clear', 'https://'],
    ['no verification', `${vaultKey}?${vaultToken}&tls-skip-verify=true`, 'not verified', 'ca=file:'],
    ['a token on the command line', `${vaultKey}?token=hvs.x`, 'lists of processes', 'mode 0600'],
    ['no token', vaultKey, 'token-source is absent', 'token-source='],
    ['a password', `vault:https://a:b@v.example/transit/keys/k?${vaultToken}`, 'password', 'vault:https://'],
    ['another path', `vault:https://v.example/transit/k?${vaultToken}`, 'MOUNT/keys/NAME', 'vault:https://'],
    ['no mount', `vault:https://v.example/keys/k?${vaultToken}`, 'MOUNT/keys/NAME', 'vault:https://'],
    ['an escape in the path', `vault:https://v.example/transit/keys/%2e%2e?${vaultToken}`, 'NAME', 'vault:https://'],
    ['another scheme inside', `vault:file:///transit/keys/k?${vaultToken}`, 'no https://', 'https://'],
    ['no URL', `vault:transit/keys/k?${vaultToken}`, 'no URL', 'vault:https://'],
    ['a namespace that is no path', `${vaultKey}?${vaultToken}&namespace=a%0d%0ab`, 'namespace', 'vault:https://'],
    ['more than 2,048 characters', `file:/${'a'.repeat(2048)}`, '2048', 'file:'],
  ])('refuses %s, and says what mends it', (_name, text, message, hint) => {
    const refused = refusal(text)
    expect(refused.code).toBe('kek/setting')
    expect(refused.message).toContain(message)
    expect(refused.hint).toContain(hint)
  })

  test('refuses a secret without repeating it', () => {
    const text = `pkcs11:token=a;object=b?${module}&pin-value=83920174`
    expect(JSON.stringify(refusal(text))).not.toContain('83920174')
  })

  test('any text is a setting or a failure of its own', () => {
    const piece = fc.constantFrom(
      'pkcs11:',
      'broker:https://a',
      'file:',
      '/',
      ';',
      '?',
      '&',
      '=',
      'token',
      'object',
      '%',
      '%4',
      'id',
      module,
    )
    const text = fc.oneof(
      fc.string(),
      fc.array(fc.oneof(piece, fc.string({ maxLength: 3 }))).map((all) => all.join('')),
    )
    fc.assert(
      fc.property(text, (one) => {
        try {
          parseKekSetting(one)
        } catch (error) {
          expect(isFailure(error) && error.code).toBe('kek/setting')
        }
      }),
    )
  })
})
