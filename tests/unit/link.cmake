foreach(name link_handshake_test link_frame_test link_hub_test link_fault_test link_pulse_test link_tls_test)
  coffer_test(${name} SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.cc LIBS coffer_link LABELS quick)
endforeach()
