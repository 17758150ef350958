import {
  angleBetween,
  cross,
  dot,
  earthRadiusKm,
  type Place,
  unit,
  type Vector,
  vectorOf,
} from '#policies/location/sphere.js'

/** Where a node has to be by one measurement: no farther than `radiusKm` from the place. */
export interface Disc {
  readonly place: Place
  readonly radiusKm: number
}

/** One metre, as an angle: what is nearer than this is neither inside nor outside. */
const doubt = 0.001 / earthRadiusKm
/** How far a computed crossing of two rims may be off. */
const rounding = doubt / 10

interface Cap {
  readonly middle: Vector
  readonly angle: number
}

/** Directions one of which lies in every cap, if any direction does. */
function candidates(caps: readonly Cap[]): readonly Vector[] {
  const found: Vector[] = []
  for (const { middle, angle } of caps) {
    found.push(middle)
    // A cap whose whole rim lies in the others, its middle outside them: only for one that is larger than a hemisphere.
    const aside = cross(middle, Math.abs(middle[2]) < 0.9 ? [0, 0, 1] : [1, 0, 0])
    const length = Math.hypot(...aside)
    const at = (i: 0 | 1 | 2) => Math.cos(angle) * middle[i] + (Math.sin(angle) * aside[i]) / length
    found.push([at(0), at(1), at(2)])
  }
  for (const [i, a] of caps.entries()) for (const b of caps.slice(i + 1)) found.push(...crossings(a, b))
  return found
}

/**
 * The two directions in which the rims of two caps cross; where they only touch, or miss by less than rounding, the nearest there
 * is. By half angles, which stay exact where caps are small: source: I. Todhunter, "Spherical Trigonometry", article 45.
 */
function crossings(a: Cap, b: Cap): readonly Vector[] {
  const normal = cross(a.middle, b.middle)
  if (dot(normal, normal) < 1e-20) return []
  const between = angleBetween(a.middle, b.middle)
  const half = (a.angle + b.angle + between) / 2
  const [atA, atB, atBetween, atAll] = [half - a.angle, half - b.angle, half - between, Math.PI - half]
  if (Math.min(atA, atB, atBetween, atAll) < -rounding) return []
  const sine = (angle: number) => Math.max(0, Math.sin(angle))
  const turn = 2 * Math.atan2(Math.sqrt(sine(atA) * sine(atBetween)), Math.sqrt(sine(half) * sine(atB)))
  const aside = unit(normal)
  const towards = cross(aside, a.middle)
  return [-turn, turn].map((by) => {
    const ahead = (i: 0 | 1 | 2) => towards[i] * Math.cos(by) + aside[i] * Math.sin(by)
    const at = (i: 0 | 1 | 2) => a.middle[i] * Math.cos(a.angle) + ahead(i) * Math.sin(a.angle)
    return [at(0), at(1), at(2)]
  })
}

/**
 * Whether discs have a place in common.
 *
 * `apart` only when they miss each other by more than a metre, `meet` only when they do by more than one: a place that is in
 * none of them says nothing about the node, and a proof needs to know that there is one.
 */
export function meeting(discs: readonly Disc[]): 'meet' | 'apart' | 'unclear' {
  const caps = discs.map(({ place, radiusKm }) => ({
    middle: vectorOf(place),
    angle: Math.min(Math.PI, radiusKm / earthRadiusKm),
  }))
  const inAll = (by: number): boolean => {
    const moved = caps.map(({ middle, angle }) => ({ middle, angle: Math.min(Math.PI, angle + by) }))
    return candidates(moved).some((at) =>
      moved.every(({ middle, angle }) => angleBetween(at, middle) <= angle + rounding),
    )
  }
  if (caps.length === 0) return 'unclear'
  if (inAll(-doubt)) return 'meet'
  return inAll(doubt) ? 'unclear' : 'apart'
}
