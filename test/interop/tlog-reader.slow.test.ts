import { describe } from 'vitest'
import { testReader } from './tlog-reader.js'

// A full tile of level 1, and unfinished ones of levels 0, 1 and 2.
describe('[ci]', () => testReader(66_000))
