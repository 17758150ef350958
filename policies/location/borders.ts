import { sha256Hex } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import { type Land, landOf } from '#policies/location/land.js'
import type { LocationCode } from '#policies/location/sphere.js'
import { readTopology } from '#policies/location/topology.js'

/** The map that round trips are judged on. Asked for where there are any, since it takes half a second and some 40 MB. */
export type Borders = () => readonly Land[]

/** Whoever has no map judges no round trips: a decision that rests on any is not made again without one. @throws location/map */
export const noBorders: Borders = () => {
  throw new Failure<LocationCode>(
    'location/map',
    'round trips of landmarks are judged on a map, and there is none here',
  )
}

/** `countries-10m.json` of world-atlas 2.0.2: Natural Earth 4.1 at 1:10,000,000. */
const expected = '3bc6f1d367a9bcec479841bae0e76092f512838411d0cef124e92eec4db45f79'

/** A map and the SHA-256 of the file that it was read from: names in a result which borders were meant. */
export interface Atlas {
  readonly digest: string
  readonly land: readonly Land[]
}

/**
 * The map in the very bytes that this version was written for, and no others: borders that somebody moved would move a verdict.
 *
 * bytes   of `countries-10m.json`
 * throws  location/map
 */
export function atlasOf(bytes: Uint8Array): Atlas {
  const digest = sha256Hex(bytes)
  if (digest !== expected)
    throw new Failure<LocationCode>('location/map', `map has digest ${digest}, expected ${expected}`)
  return { digest, land: landOf(readTopology(JSON.parse(new TextDecoder().decode(bytes)))) }
}
