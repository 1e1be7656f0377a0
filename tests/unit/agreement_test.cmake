coffer_test(agreement_test
            SOURCES ${CMAKE_CURRENT_LIST_DIR}/agreement_voting_test.cc ${CMAKE_CURRENT_LIST_DIR}/agreement_proposing_test.cc
                    ${CMAKE_CURRENT_LIST_DIR}/agreement_learning_test.cc
            LIBS coffer_cluster LABELS quick)
coffer_test(agreement_model_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/agreement_model_test.cc LIBS coffer_cluster LABELS quick)
