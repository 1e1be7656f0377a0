foreach(name link_handshake_test link_frame_test link_fault_test link_pace_test link_pulse_test link_tls_test)
  coffer_test(${name} SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.cc LIBS coffer_link LABELS quick)
endforeach()
coffer_test(link_hub_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/link_hub_test.cc ${CMAKE_CURRENT_LIST_DIR}/link_hub_door_test.cc
            LIBS coffer_link LABELS quick)
