import { and, eq, gt, lte } from 'drizzle-orm'
import { concat } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { aesGcmOpen, aesGcmSeal } from '#core/crypto/aead.js'
import { randomBytes } from '#core/crypto/hash.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { evidenceShape } from '#core/wire/evidence.js'
import type { Database } from '#host/database.js'
import type { EvidenceStore, KbsSessions, ResourceStore } from '#keybroker/kbs/ports.js'
import type { Clock, Kek } from '#keybroker/ports.js'
import { kbsEvidence, resources } from '#keybroker/store/schema.js'
import {
  countOpenSessions,
  dropSession,
  finishSession,
  forgetExpiredSessions,
  loadAttestedSession,
  storeSession,
  takeSession,
} from '#keybroker/store/sessions.js'

/** Sessions of the KBS route in the broker's database. */
export function kbsSessions(database: Database): KbsSessions {
  return {
    async countOpen(at) {
      return database.read(async (db) => {
        await forgetExpiredSessions(db, at)
        return countOpenSessions(db, at)
      })
    },
    store: (session) => database.read((db) => storeSession(db, session)),
    async take(idDigest, at) {
      try {
        return await database.read((db) => takeSession(db, idDigest, at))
      } catch (error) {
        if (isFailure(error) && error.code === 'store/session-unknown') return null
        throw error
      }
    },
    finish: (idDigest, token, at) => database.read((db) => finishSession(db, idDigest, token, at)),
    drop: (idDigest) => database.read((db) => dropSession(db, idDigest)),
    async loadToken(idDigest, at) {
      const found = await database.read((db) => loadAttestedSession(db, idDigest, at))
      return found?.token ? { token: found.token, expiresAt: found.expiresAt } : null
    },
  }
}

/** Evidence behind tokens in the broker's database. What expired is gone with the next that is stored. */
export function kbsEvidenceStore(database: Database): EvidenceStore {
  return {
    async store(tokenId, evidence, at, expiresAt) {
      await database.transaction(async (tx) => {
        await tx.delete(kbsEvidence).where(lte(kbsEvidence.expiresAt, at))
        await tx.insert(kbsEvidence).values({ token: tokenId, evidence: canonicalJson(evidence), expiresAt })
      })
    },
    async load(tokenId, at) {
      const wanted = and(eq(kbsEvidence.token, tokenId), gt(kbsEvidence.expiresAt, at))
      const rows = await database.read((db) => db.select().from(kbsEvidence).where(wanted))
      return rows[0] ? evidenceShape(parseCanonicalJson(rows[0].evidence), 'evidence') : null
    },
  }
}

const ivSize = 12
const keySize = 32

/** A resource belongs to its path: a row moved to another does not open. */
export function resourceAad(path: string): Uint8Array {
  return canonicalJson({ purpose: 'claviger kbs resource v1', path })
}

/** What a row holds beside its path. */
export interface SealedRow {
  readonly keyId: string
  readonly wrappedKey: Uint8Array
  readonly sealed: Uint8Array
  readonly storedAt: UnixSeconds
}

/** @throws kek/unwrap, kek/key-id, crypto/aead-tag when the row was altered or moved from another path */
export async function openSealed(kek: Kek, path: string, row: SealedRow): Promise<Uint8Array> {
  const aad = resourceAad(path)
  const key = await kek.unwrapDek(row.wrappedKey, aad, row.keyId)
  try {
    return await aesGcmOpen(key, row.sealed.subarray(0, ivSize), aad, row.sealed.subarray(ivSize))
  } finally {
    wipe(key)
  }
}

/** The row for a resource, which is sealed under a key of its own. */
export async function sealResource(
  kek: Kek,
  path: string,
  resource: Uint8Array,
  storedAt: UnixSeconds,
): Promise<SealedRow> {
  const aad = resourceAad(path)
  const key = secretBytes(keySize)
  key.set(randomBytes(keySize))
  try {
    const iv = randomBytes(ivSize)
    const sealed = concat(iv, await aesGcmSeal(key, iv, aad, resource))
    return { keyId: kek.keyId, wrappedKey: await kek.wrapDek(key, aad), sealed, storedAt }
  } finally {
    wipe(key)
  }
}

/**
 * Resources of the KBS route in the broker's database. None lies there readable: each is sealed under a key of its own.
 *
 * throws  kek/unwrap, kek/key-id, crypto/aead-tag when a row was altered or moved
 */
export function kbsResources(database: Database, kek: Kek, clock: Clock): ResourceStore {
  return {
    async load(path) {
      const rows = await database.read((db) => db.select().from(resources).where(eq(resources.path, path.text)))
      return rows[0] ? openSealed(kek, path.text, rows[0]) : null
    },
    async store(path, resource) {
      const row = await sealResource(kek, path.text, resource, clock())
      await database.read((db) =>
        db
          .insert(resources)
          .values({ path: path.text, ...row })
          .onConflictDoUpdate({ target: resources.path, set: row }),
      )
    },
    async remove(path) {
      await database.read((db) => db.delete(resources).where(eq(resources.path, path.text)))
    },
  }
}
