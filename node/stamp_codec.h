// The stamp of a write as bytes: in headers, which travel, and in the rows of what is stored.
#pragma once

#include "node/byte_codec.h"
#include "node/store.h"

namespace coffer::node {

inline void PutStamp(const Stamp& stamp, ByteWriter* out) {
  out->Varint(stamp.term.value).Varint(stamp.boot.value).Varint(stamp.seq.value);
}

inline Stamp TakeStamp(ByteReader* in) {
  Stamp stamp;
  stamp.term = Term(in->Varint());
  stamp.boot = Boot(in->Varint());
  stamp.seq = Seq(in->Varint());
  return stamp;
}

}  // namespace coffer::node
