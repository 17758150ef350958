import type { Place } from '#policies/location/sphere.js'

/** A city with data centres, where a landmark could stand: its middle, to a hundredth of a degree. */
export interface City extends Place {
  readonly name: string
  readonly country: string
}

const rows: readonly (readonly [string, string, number, number])[] = [
  ['Amsterdam', 'NL', 52.37, 4.9],
  ['Ashburn', 'US', 39.04, -77.49],
  ['Athens', 'GR', 37.98, 23.73],
  ['Berlin', 'DE', 52.52, 13.4],
  ['Bratislava', 'SK', 48.15, 17.11],
  ['Brussels', 'BE', 50.85, 4.35],
  ['Bucharest', 'RO', 44.43, 26.1],
  ['Budapest', 'HU', 47.5, 19.04],
  ['Copenhagen', 'DK', 55.68, 12.57],
  ['Dublin', 'IE', 53.35, -6.26],
  ['Frankfurt', 'DE', 50.11, 8.68],
  ['Hamburg', 'DE', 53.55, 9.99],
  ['Helsinki', 'FI', 60.17, 24.94],
  ['Hyderabad', 'IN', 17.39, 78.49],
  ['Lisbon', 'PT', 38.72, -9.14],
  ['Ljubljana', 'SI', 46.06, 14.51],
  ['London', 'GB', 51.51, -0.13],
  ['Luxembourg', 'LU', 49.61, 6.13],
  ['Madrid', 'ES', 40.42, -3.7],
  ['Marseille', 'FR', 43.3, 5.37],
  ['Milan', 'IT', 45.46, 9.19],
  ['Montreal', 'CA', 45.5, -73.57],
  ['Mumbai', 'IN', 19.08, 72.88],
  ['Munich', 'DE', 48.14, 11.58],
  ['Nairobi', 'KE', -1.29, 36.82],
  ['Oslo', 'NO', 59.91, 10.75],
  ['Paris', 'FR', 48.86, 2.35],
  ['Prague', 'CZ', 50.08, 14.44],
  ['Reykjavik', 'IS', 64.15, -21.94],
  ['Riga', 'LV', 56.95, 24.11],
  ['Riyadh', 'SA', 24.71, 46.68],
  ['Rome', 'IT', 41.9, 12.5],
  ['Sao Paulo', 'BR', -23.55, -46.63],
  ['Seoul', 'KR', 37.57, 126.98],
  ['Singapore', 'SG', 1.35, 103.82],
  ['Sofia', 'BG', 42.7, 23.32],
  ['Stockholm', 'SE', 59.33, 18.07],
  ['Sydney', 'AU', -33.87, 151.21],
  ['Tallinn', 'EE', 59.44, 24.75],
  ['Tokyo', 'JP', 35.68, 139.69],
  ['Vienna', 'AT', 48.21, 16.37],
  ['Vilnius', 'LT', 54.69, 25.28],
  ['Warsaw', 'PL', 52.23, 21.01],
  ['Zagreb', 'HR', 45.81, 15.98],
  ['Zurich', 'CH', 47.38, 8.54],
]

/** Cities of data centres, by name. */
export const cities: readonly City[] = rows.map(([name, country, latitude, longitude]) => ({
  name,
  country,
  latitude,
  longitude,
}))
