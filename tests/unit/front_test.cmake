coffer_test(front_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/front_frame_test.cc ${CMAKE_CURRENT_LIST_DIR}/front_call_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/front_stream_test.cc ${CMAKE_CURRENT_LIST_DIR}/front_server_test.cc
  LIBS coffer_front coffer_grpc coffer_link
  LABELS quick)
