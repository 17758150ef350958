import { writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { generateSigningKey } from '#core/crypto/sign.js'
import { signTrust, type Trust } from '#core/wire/trust-file.js'

/** A trust file of now, which trusts nobody but whom `change` names, in a file whose name is its line. */
export async function writeTrustFile(path: string, change: Partial<Trust>): Promise<void> {
  const { key: author } = await generateSigningKey('Ed25519')
  const now = Math.floor(Date.now() / 1000)
  const trust: Trust = {
    type: 'claviger/trust/v1',
    name: basename(path, '.json'),
    version: 1,
    issuedAt: now - 60,
    expiresAt: now + 86_400,
    owners: [],
    brokers: [],
    verifiers: [],
    logs: [],
    witnessPolicy: 'quorum none\n',
    independentWitnesses: [],
    runtimes: [],
    runtimePublishers: [],
    registries: [],
    issuers: [],
    collateralFloors: [],
    simulatedRoots: [],
    ...change,
  }
  writeFileSync(path, JSON.stringify(await signTrust(trust, author)))
}
