import { testReader } from './tlog-reader.js'

// Full and unfinished tiles of level 0, and an unfinished one of level 1.
testReader(1_500)
