/**
 * What belongs in policies/location/atlas: the map that is judged by, read from the package that brings it. An edge: it reads
 * a file. The map is never copied into this repository.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type Atlas, atlasOf, type Borders } from '#policies/location/borders.js'

/** The map of the package. Half a second, some 40 MB. @throws location/map */
export function readAtlas(): Atlas {
  return atlasOf(readFileSync(createRequire(import.meta.url).resolve('world-atlas/countries-10m.json')))
}

/** The same, read once in the life of a process, and not before somebody asks. @throws location/map */
export const heldBorders: Borders = () => {
  held ??= readAtlas()
  return held.land
}
let held: Atlas | undefined
