// The whole of the vocabulary over one transport, one parser, with or without deflate.

import "./connecting.mjs";
import "./events.mjs";
import "./rooms.mjs";
