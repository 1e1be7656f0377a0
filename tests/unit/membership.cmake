coffer_test(membership_parts_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/membership_parts_test.cc LIBS coffer_cluster LABELS quick)
coffer_test(membership_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/membership_test.cc ${CMAKE_CURRENT_LIST_DIR}/membership_news_test.cc
            ${CMAKE_CURRENT_LIST_DIR}/membership_scale_test.cc LIBS coffer_cluster LABELS quick)
coffer_test(membership_faults_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/membership_faults_test.cc
            ${CMAKE_CURRENT_LIST_DIR}/gossip_harness.cc LIBS coffer_cluster LABELS quick)
# A simulation of its own, so optimised with sanitizers, too.
target_compile_options(membership_faults_test PRIVATE -O1)
