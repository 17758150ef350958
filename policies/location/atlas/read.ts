/**
 * What belongs in policies/location/atlas: the map that is judged by, read from the package that brings it. An edge: it reads
 * a file. The map is never copied into this repository.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { sha256Hex } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import { type Land, landOf } from '#policies/location/land.js'
import type { LocationCode } from '#policies/location/sphere.js'
import { readTopology } from '#policies/location/topology.js'

/** A map and the SHA-256 of the file that it was read from: names in a result which borders were meant. */
export interface Atlas {
  readonly digest: string
  readonly land: readonly Land[]
}

/** `countries-10m.json` of world-atlas 2.0.2: Natural Earth 4.1 at 1:10,000,000. */
const expected = '3bc6f1d367a9bcec479841bae0e76092f512838411d0cef124e92eec4db45f79'

/**
 * The map of the package: the very bytes that this version was written for, and no others. Half a second, some 40 MB.
 *
 * throws  location/map
 */
export function readAtlas(): Atlas {
  const bytes = readFileSync(createRequire(import.meta.url).resolve('world-atlas/countries-10m.json'))
  const digest = sha256Hex(bytes)
  // Borders that somebody moved would move a verdict.
  if (digest !== expected)
    throw new Failure<LocationCode>('location/map', `map has digest ${digest}, expected ${expected}`)
  return { digest, land: landOf(readTopology(JSON.parse(bytes.toString('utf8')))) }
}
