coffer_test(scrubber_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/scrubber_test.cc LIBS coffer_node LABELS quick)
